//! A capture file in memory.
