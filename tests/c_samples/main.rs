//! The samples in C: built by every compiler that is here, with everything warned of an error; what they say of captures; and what
//! valgrind and the sanitizers say of them. Where a tool is missing, the tests say so and pass.
#![cfg(target_os = "linux")]

mod captures;
mod judges;
mod results;
mod workshop;
