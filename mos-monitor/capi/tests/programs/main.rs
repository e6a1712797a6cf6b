//! Programs in C against an installed libmos: they are compiled, run, and say themselves what does not hold. Where there is no C
//! compiler, no valgrind or no capture these tests say that they were skipped.

mod library;
mod scenarios;

use scenarios::{run_all, run_quick_under_valgrind};

const CAPI: &str = env!("CARGO_MANIFEST_DIR");

macro_rules! programs {
    ($($name:ident)*) => {
        $(mod $name {
            /// Every check that the program makes.
            #[test]
            fn holds() {
                crate::run_all(stringify!($name));
            }

            /// No access that is wrong, nothing that is lost.
            #[test]
            fn is_clean() {
                crate::run_quick_under_valgrind(stringify!($name));
            }
        })*
    };
}

programs! { args buffers close events life packets random }
