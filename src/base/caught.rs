//! From a panic to an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Error, Result};

/// Runs `step`; a panic in it becomes an `INTERNAL` that names `what` and what the
/// panic said. The caller answers for the state that the step may have left.
///
/// # Errors
/// That, and what `step` answers.
pub fn caught<T>(what: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let said = said.unwrap_or("(without a message)");
        Err(Error::internal(format!("{what} panicked ({said}): a fault of the program, please report it")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorCode;

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        assert_eq!(caught("a test", || Ok(7)), Ok(7));
        let refused = Error::invalid("no");
        assert_eq!(caught("a test", || -> Result<()> { Err(refused.clone()) }), Err(refused));
        let fixed = caught("a test", || -> Result<()> { panic!("on purpose") }).unwrap_err();
        assert_eq!(fixed.code(), ErrorCode::Internal);
        assert_eq!(fixed.message(), "a test panicked (on purpose): a fault of the program, please report it");
        let number = 3;
        let formatted = caught("a test", || -> Result<()> { panic!("number {number}") }).unwrap_err();
        assert!(formatted.message().contains("(number 3)"), "{formatted}");
    }
}
