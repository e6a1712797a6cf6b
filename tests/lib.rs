//! The integration tests of the workspace are test targets of this package; it has no library of its own.
