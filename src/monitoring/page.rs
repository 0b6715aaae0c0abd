//! A page of metrics in Prometheus' text format.

use std::fmt::Write;

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// It only grows; its name ends with `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A series: its labels and its value.
pub type Series = (Vec<(&'static str, String)>, f64);

/// The page.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Adds a metric with its series; without any it is left out.
    pub fn add(&mut self, name: &str, help: &str, kind: Type, series: impl IntoIterator<Item = Series>) {
        let mut series = series.into_iter().peekable();
        if series.peek().is_none() {
            return;
        }
        let kind = match kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
        };
        // writing to a text does not fail
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (labels, value) in series {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// The same for one value without labels.
    pub fn add_one(&mut self, name: &str, help: &str, kind: Type, value: f64) {
        self.add(name, help, kind, [(Vec::new(), value)]);
    }

    /// The text so far.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_help_type_and_escaped_labels() {
        let mut page = Page::default();
        let series = [(vec![("name", "a\"b\\c\nd".to_owned()), ("of", "x".to_owned())], 1.5)];
        page.add("x_seconds", "How long", Type::Gauge, series);
        page.add("y", "Nothing", Type::Gauge, []);
        page.add_one("z_total", "How many", Type::Counter, 12_345_678_901.0);
        assert_eq!(
            page.text(),
            "# HELP x_seconds How long\n# TYPE x_seconds gauge\nx_seconds{name=\"a\\\"b\\\\c\\nd\",of=\"x\"} 1.5\n\
             # HELP z_total How many\n# TYPE z_total counter\nz_total 12345678901\n"
        );
    }
}
