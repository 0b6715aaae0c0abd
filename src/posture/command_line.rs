//! A configured command as a program and its arguments: no shell, no variables, no globs.

use std::path::PathBuf;

/// A command that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// Why a command cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandLineError {
    #[error("the command is empty")]
    Empty,
    #[error("a quote in the command is not closed")]
    OpenQuote,
    #[error("no program of that name is installed: `{0}`")]
    NoProgram(String),
    #[error("`{0}` is a program of Windows, and this system is none")]
    Windows(String),
}

/// Reads a command. A program in quotes is what stands in them; otherwise it is the longest beginning, up to a blank, that
/// `program` knows, so that paths may have blanks. Arguments are split at blanks; quotes of either kind keep them
/// together, and within double quotes `\"` is a quote.
///
/// # Errors
/// There is no such program, or a quote is not closed.
pub(super) fn parse(
    command: &str,
    program: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<CommandLine, CommandLineError> {
    let command = command.trim();
    let Some(first) = command.chars().next() else { return Err(CommandLineError::Empty) };
    if first == '"' || first == '\'' {
        let words = split(command)?;
        let (name, arguments) = words.split_first().ok_or(CommandLineError::Empty)?;
        let program = program(name).ok_or_else(|| missing(name))?;
        return Ok(CommandLine { program, arguments: arguments.to_vec() });
    }
    let unquoted = command.find(['"', '\'']).map_or(command, |quote| &command[..quote]);
    let ends = unquoted.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(index, _)| index);
    let mut ends: Vec<usize> = ends.collect();
    if unquoted.len() == command.len() {
        ends.push(command.len());
    }
    for end in ends.iter().rev() {
        if let Some(program) = program(command[..*end].trim_end()) {
            return Ok(CommandLine { program, arguments: split(&command[*end..])? });
        }
    }
    Err(missing(&looks_like(command)))
}

fn missing(name: &str) -> CommandLineError {
    let has_drive = name.as_bytes().get(1) == Some(&b':') && name.contains('\\');
    match has_drive || name.eq_ignore_ascii_case("powershell") || name.to_ascii_lowercase().ends_with(".exe")
    {
        true => CommandLineError::Windows(name.to_owned()),
        false => CommandLineError::NoProgram(name.to_owned()),
    }
}

/// What the program may have been: up to `.exe`, or else the first word.
fn looks_like(command: &str) -> String {
    let end = command.to_ascii_lowercase().find(".exe").map(|start| start + ".exe".len());
    let end = end.filter(|end| command.is_char_boundary(*end));
    end.map_or_else(|| command.split_whitespace().next().unwrap_or_default(), |end| &command[..end])
        .to_owned()
}

fn split(text: &str) -> Result<Vec<String>, CommandLineError> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (Some(open), close) if open == close => quote = None,
            (Some('"'), '\\') if letters.peek() == Some(&'"') => {
                word.get_or_insert_default().extend(letters.next());
            }
            (None | Some(_), letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(CommandLineError::OpenQuote) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `command` on a system that has these programs.
    fn read(command: &str, programs: &[&str]) -> Result<(String, Vec<String>), CommandLineError> {
        let known = |name: &str| programs.contains(&name).then(|| PathBuf::from(name));
        parse(command, &known).map(|line| (line.program.display().to_string(), line.arguments))
    }

    fn line(program: &str, arguments: &[&str]) -> Result<(String, Vec<String>), CommandLineError> {
        Ok((program.to_owned(), arguments.iter().map(|&argument| argument.to_owned()).collect()))
    }

    #[test]
    fn the_examples_of_the_integration_guide_are_understood() {
        let falcon = "/opt/CrowdStrike/falconctl";
        assert_eq!(read("/opt/CrowdStrike/falconctl status", &[falcon]), line(falcon, &["status"]));
        let windows = r"C:\Program Files\CrowdStrike\CSFalconService.exe --status";
        let service = r"C:\Program Files\CrowdStrike\CSFalconService.exe";
        assert_eq!(read(windows, &[service]), line(service, &["--status"]));
        assert_eq!(read(windows, &[]), Err(CommandLineError::Windows(service.to_owned())));
        let shell =
            "powershell -Command \"Get-Service -Name SentinelAgent | Select-Object -ExpandProperty Status\"";
        let script = "Get-Service -Name SentinelAgent | Select-Object -ExpandProperty Status";
        assert_eq!(read(shell, &["powershell"]), line("powershell", &["-Command", script]));
        assert_eq!(read(shell, &[]), Err(CommandLineError::Windows("powershell".to_owned())));
    }

    #[test]
    fn the_longest_program_counts_and_quotes_hold_together() {
        let programs = ["/opt/a", "/opt/a b"];
        assert_eq!(read("/opt/a b c", &programs), line("/opt/a b", &["c"]));
        assert_eq!(read("/opt/a  b", &programs), line("/opt/a", &["b"]));
        assert_eq!(read("'/opt/a b' 'c d' e\"f g\"h ''", &programs), line("/opt/a b", &["c d", "ef gh", ""]));
        assert_eq!(
            read(r#""/opt/a" "say \"x\" in C:\y""#, &programs),
            line("/opt/a", &[r#"say "x" in C:\y"#])
        );
        assert_eq!(
            read("/opt/a\"b\"", &programs),
            Err(CommandLineError::NoProgram("/opt/a\"b\"".to_owned()))
        );
    }

    #[test]
    fn nothing_is_left_to_a_shell() {
        let arguments = ["x;", "rm", "-rf", "$HOME", "|", "`id`", "*", ">", "y"];
        assert_eq!(read("/opt/a x; rm -rf $HOME | `id` * > y", &["/opt/a"]), line("/opt/a", &arguments));
        assert_eq!(read("", &[]), Err(CommandLineError::Empty));
        assert_eq!(read("/opt/a 'x", &["/opt/a"]), Err(CommandLineError::OpenQuote));
        assert_eq!(read("falconctl status", &[]), Err(CommandLineError::NoProgram("falconctl".to_owned())));
    }
}
