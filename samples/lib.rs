//! The bundled monitors.
