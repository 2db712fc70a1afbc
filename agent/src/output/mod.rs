//! From values to bytes. Nothing here writes anywhere or asks for the time.

pub mod check;
pub mod emf;
pub mod explain;
pub mod json;
pub mod pace;
pub mod prometheus;
pub mod recording;
#[cfg(test)]
mod schema;
pub mod text;
pub mod view;
