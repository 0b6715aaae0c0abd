//! The size budget: lines per file and per function, tests not counted.

use crate::source::Source;

/// Upper limits, in lines.
pub(crate) struct Budget {
    /// No file has more.
    pub(crate) file_lines: usize,
    /// The median file has fewer.
    pub(crate) median_file_lines: usize,
    /// No function has more.
    pub(crate) function_lines: usize,
}

/// The files and functions over the budget, one line each.
pub(crate) fn oversized(sources: &[&Source], budget: &Budget) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let lines = source.production_lines;
        if lines > budget.file_lines {
            found.push(format!("{}: {lines} lines", source.path));
        }
        let long = source.functions.iter().filter(|function| function.lines > budget.function_lines);
        found.extend(
            long.map(|function| format!("{}: fn {}: {} lines", source.path, function.name, function.lines)),
        );
    }
    found
}

/// The value below which `share` per cent of the values lie; 0 for none.
pub(crate) fn percentile(values: &mut [usize], share: usize) -> usize {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    values.get(last * share / 100).copied().unwrap_or(0)
}
