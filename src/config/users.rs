//! Lists of users: names, and numbers as well, since user numbers are.

use super::diagnostic::Diagnostic;
use super::origin::Setting;
use super::reader::{Reader, whole_number, wrong_type};

/// `allowed_users` of a table; empty means all.
pub(super) fn read(reader: &mut Reader<'_>, table: &str) -> Vec<Setting<String>> {
    let name = format!("{table}.allowed_users");
    let Some(found) = reader.find(table, "allowed_users") else { return Vec::new() };
    let mut users = Vec::new();
    let Some(items) = found.value.as_array() else {
        reader.each_of(&name, &found, |text| {
            users.push(Setting { value: text.to_owned(), origin: found.origin.clone() });
            Ok(())
        });
        return users;
    };
    for item in items.iter() {
        let origin = reader.place(&found, &item.span());
        let number = whole_number(item.get_ref()).filter(|number| u32::try_from(*number).is_ok());
        match item.get_ref().as_str().map(str::to_owned).or(number.map(|number| number.to_string())) {
            Some(value) if !value.is_empty() => users.push(Setting { value, origin }),
            Some(_) | None => {
                let complaint = wrong_type(&name, "an array of user names or numbers", item.get_ref());
                reader.complain(origin, complaint);
            }
        }
    }
    if users.is_empty() && items.is_empty() {
        let warning = match table {
            "api" => {
                "`api.allowed_users` is empty, so everybody who may use the tunnel may steer it".to_owned()
            }
            _ => format!("`{name}` is empty, so every user may use the tunnel"),
        };
        reader.problems.push(Diagnostic::warning(found.origin, warning));
    }
    users
}
