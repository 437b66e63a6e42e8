//! Who may do what.

use subtle::ConstantTimeEq;

use crate::base::{Error, ErrorCode, Result};
use crate::protocol::Command;

/// Failed attempts after which a connection is closed.
pub(super) const ATTEMPTS_MAX: u32 = 10;

/// The token that clients must present, if there is one.
pub(super) struct Auth {
    token: Option<String>,
}

impl Auth {
    pub fn new(token: Option<String>) -> Self {
        Self { token }
    }

    /// Whether clients must present a token.
    pub fn is_on(&self) -> bool {
        self.token.is_some()
    }

    /// Checks a token, in a time that does not tell how much of it was right.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for a wrong one; `INVALID_ARGUMENT` where none is wanted, for
    /// the client then trusts in a lock that is not there.
    pub fn check(&self, presented: &str) -> Result<()> {
        let Some(token) = &self.token else {
            return Err(Error::invalid(
                "this server has no token set; start it with TSDB_AUTH_TOKEN, or connect without a token",
            ));
        };
        if bool::from(token.as_bytes().ct_eq(presented.as_bytes())) {
            Ok(())
        } else {
            Err(Error::new(ErrorCode::Unauthorized, "the token is wrong; use the server's TSDB_AUTH_TOKEN"))
        }
    }

    /// Whether `command` may be run by a client that has or has not authenticated.
    ///
    /// # Errors
    /// `UNAUTHORIZED`.
    pub fn admit(&self, authenticated: bool, command: &Command) -> Result<()> {
        let free =
            matches!(command, Command::Ping | Command::Help { .. } | Command::Auth { .. } | Command::Quit);
        if free || authenticated || !self.is_on() {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Unauthorized,
            "this server wants a token first; send AUTH <token> (text), {\"type\":\"Auth\",\"data\":{\"token\":…}} \
             (JSON) or an Authorization: Bearer header (HTTP)",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_opens() {
        let auth = Auth::new(Some("sesame".into()));
        assert!(auth.check("sesame").is_ok());
        for wrong in ["", "s", "sesam", "sesame1", "Sesame"] {
            assert_eq!(auth.check(wrong).unwrap_err().code(), ErrorCode::Unauthorized);
        }
        assert!(auth.admit(false, &Command::Ping).is_ok());
        assert!(auth.admit(false, &Command::List).is_err());
        assert!(auth.admit(true, &Command::List).is_ok());
        assert!(Auth::new(None).admit(false, &Command::List).is_ok());
        assert_eq!(Auth::new(None).check("x").unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}
