//! systemd-resolved.
use crate::suite::Test;
pub(crate) fn tests() -> Vec<Test> {
    Vec::new()
}
