//! How measurements and events leave.

pub mod otlp;
pub mod resource;
pub mod settings;
