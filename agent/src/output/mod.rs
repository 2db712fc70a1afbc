//! From values to bytes. Nothing here writes anywhere or asks for the time.

pub mod check;
pub mod explain;
pub mod json;
#[cfg(test)]
mod schema;
pub mod text;
pub mod view;
