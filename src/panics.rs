//! Panics of code that is not ours become errors: of a decoder that meets a damaged file, of a solver that meets numbers
//! it cannot work on.
//!
//! What is caught here is not printed either. Only for calls that stay on their thread.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// The result of `run`, or the message of its panic. What `run` has changed by then is not to be used.
///
/// # Errors
/// It panicked.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                others(info);
            }
        }));
    });
    let before = SILENT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    SILENT.set(before);
    result.map_err(|panic| message(&*panic))
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message_and_the_thread_goes_on() {
        assert_eq!(caught(|| 3), Ok(3));
        let n = 2;
        assert_eq!(caught(|| -> u8 { panic!("lost {n}") }), Err("lost 2".into()));
        assert_eq!(caught(|| -> u8 { panic!("lost") }), Err("lost".into()));
        assert!(!SILENT.get(), "a later panic is printed");
        let nested = caught(|| (caught(|| -> u8 { panic!("inner") }), SILENT.get()));
        assert_eq!(nested, Ok((Err("inner".into()), true)));
    }
}
