//! Exports measurements and events: OTLP and the Prometheus page.

pub mod document;
pub mod entity;
pub mod events;
pub mod gzip;
pub mod otlp;
pub mod prometheus;
pub mod resource;
pub mod settings;
