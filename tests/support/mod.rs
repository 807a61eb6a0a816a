//! What the tests share: a folder with the program in it, servers in this process and as a process, raw HTTP, and the
//! parts of a model file.

pub mod container;
pub mod http;
pub mod model;
#[cfg(unix)]
pub mod process;
pub mod workdir;
