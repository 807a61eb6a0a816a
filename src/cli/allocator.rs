//! What the C library's allocator has to be told so that a server gives memory back.

/// Read by glibc before `main`: from so many bytes on, memory is given back as soon as it is freed. Unless it is named,
/// glibc raises it to the size of the largest block that was freed, up to 32 MB (mallopt(3), `M_MMAP_THRESHOLD`), and
/// every thread keeps what its largest requests took.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Says that the program was started again, should the C library have taken [`THRESHOLD`] out of the environment, as it
/// may from programs with capabilities.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const AGAIN: &str = "MLAPI_STARTED_AGAIN";

/// Starts the program again in its place, with the same arguments, unless glibc has been told; does nothing where there
/// is no glibc. A program that cannot be started again goes on and may need more memory.
pub(super) fn give_memory_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt;

        if [THRESHOLD.0, AGAIN].iter().any(|name| std::env::var_os(name).is_some()) {
            return;
        }
        let (Ok(program), mut arguments) = (std::env::current_exe(), std::env::args_os()) else {
            return;
        };
        let mut command = std::process::Command::new(program);
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        // Returns only if it fails.
        let _ = command.args(arguments).env(THRESHOLD.0, THRESHOLD.1).env(AGAIN, "1").exec();
    }
}
