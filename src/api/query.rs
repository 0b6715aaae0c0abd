//! The query of a URL as names and values.

use super::Problem;
use axum::http::{StatusCode, Uri};

/// The parameters; those that are not `known` are wrong, as are two of one name.
pub(super) fn parameters<const N: usize>(
    uri: &Uri,
    known: [&str; N],
) -> Result<[Option<String>; N], Problem> {
    let mut values = [const { None }; N];
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = decode(name).and_then(|name| known.iter().position(|known| *known == name));
        let (Some(place), Some(value)) = (place, decode(value)) else {
            return Err(bad(format!("the query may have {}", known.join(", "))));
        };
        if values[place].replace(value).is_some() {
            return Err(bad(format!("`{}` is there twice", known[place])));
        }
    }
    Ok(values)
}

/// A request that is wrong in its query.
pub(super) fn bad(what: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, what)
}

/// `application/x-www-form-urlencoded` (WHATWG URL, section 5.1); none when it is no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = match escaped {
            Some(_) => &after[2..],
            None => after,
        };
        bytes.push(escaped.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<[Option<String>; 2], Problem> {
        parameters(&Uri::try_from(format!("/x?{query}")).unwrap(), ["level", "filter"])
    }

    #[test]
    fn parameters_are_decoded() {
        let values = read("filter=a+b%26%C3%A9%zz&level=info").unwrap();
        assert_eq!(values, [Some("info".to_owned()), Some("a b&é%zz".to_owned())]);
        assert_eq!(read("").unwrap(), [None, None]);
        assert_eq!(read("level").unwrap()[0].as_deref(), Some(""));
    }

    #[test]
    fn what_is_not_known_or_not_text_is_wrong() {
        for query in ["lvel=info", "level=info&level=debug", "filter=%ff", "=x"] {
            assert_eq!(read(query).unwrap_err().status, 400, "{query}");
        }
    }
}
