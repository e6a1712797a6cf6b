//! The framework for programs in C: what `include/*.h` declare.
