//! How measurements and events leave.

pub mod events;
pub mod gzip;
pub mod otlp;
pub mod prometheus;
pub mod resource;
pub mod settings;
