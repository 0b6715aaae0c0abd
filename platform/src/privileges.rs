//! Who we are and what we may do, and which number a user's name has.

mod linux;

pub use linux::{can_change_network, group_and_home, is_root, user, user_id, user_name};
