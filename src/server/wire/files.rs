//! The number of connections that the limit of open files allows. Many systems start a process with 1024 files,
//! which it may raise itself.

#[cfg(any(unix, test))]
use super::refusal::MAX_REFUSALS;

/// Files that are no connections: models and keys being read, logs, the runtime's own.
#[cfg(any(unix, test))]
const OTHER_FILES: usize = 64;

/// The open files that so many connections need, refused ones included.
#[cfg(any(unix, test))]
fn needed(connections: usize) -> usize {
    connections.saturating_add(MAX_REFUSALS + OTHER_FILES)
}

/// The connections that so many open files allow, at least 1. If files are few, half are kept for refused
/// connections.
#[cfg(any(unix, test))]
fn room(files: usize) -> usize {
    let files = files.saturating_sub(OTHER_FILES);
    files.saturating_sub(MAX_REFUSALS).max(files / 2).max(1)
}

/// Raises this process's limit of open files, as far as allowed, to what `connections` need. Returns the number of
/// connections that fit, which may be fewer.
pub(crate) fn make_room(connections: usize) -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let (needed, maximum) = (needed(connections) as u64, limit.maximum.unwrap_or(u64::MAX));
        let mut current = limit.current.unwrap_or(u64::MAX);
        if current < needed {
            let raised = needed.min(maximum);
            if setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok() {
                current = raised;
            }
        }
        if current < needed { room(current as usize).min(connections) } else { connections }
    }
    #[cfg(not(unix))]
    connections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_that_there_is_room_for_need_no_more_files_than_there_are() {
        for files in [4096, 65_536] {
            assert_eq!(needed(room(files)), files);
        }
        assert_eq!((room(256), room(1024)), (96, 480));
        assert_eq!(room(10), 1);
        assert_eq!(room(needed(1024)), 1024);
    }

    #[test]
    fn a_few_connections_always_have_room() {
        assert_eq!(make_room(8), 8);
    }
}
