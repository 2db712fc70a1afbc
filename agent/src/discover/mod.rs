//! What can be found out without rights: today, the addresses behind a name.

pub mod names;
