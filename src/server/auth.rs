//! Who may do what: tokens, the role that each gives, and what a caller has shown.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::base::{Error, ErrorCode, Result};
use crate::protocol::Command;
use crate::vfs::{RealDisk, read_all};

/// Failed attempts after which a connection is closed.
const ATTEMPTS_MAX: u32 = 10;
/// An address's n-th failed attempt is answered after n times this.
const SLOWED_BY: Duration = Duration::from_millis(50);
/// No attempt is answered later.
const SLOWED_BY_MAX: Duration = Duration::from_secs(5);
/// After so long one failure of an address is forgiven.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);
/// Failed attempts of one address that may wait for their answer; more are closed.
const WAITING_MAX: usize = 64;
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4096;
/// A token file has at most so many bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Shorter tokens can be guessed.
const TOKEN_BYTES_SAFE: usize = 16;

/// What a token allows; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Queries, analytics, statistics.
    Read,
    /// Also creating series, writing and deleting points.
    Write,
    /// Also SAVE, LOAD, DROP and FLUSH.
    Admin,
}

impl Role {
    fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role that a command needs; `None` where anyone may.
    pub fn needed_for(command: &Command) -> Option<Self> {
        match command {
            Command::Ping | Command::Help { .. } | Command::Auth { .. } | Command::Quit => None,
            Command::Query { .. }
            | Command::FindSimilar(_)
            | Command::Analyze(_)
            | Command::Stats { .. }
            | Command::List
            | Command::Watches
            | Command::Subscribe { .. }
            | Command::Unsubscribe
            | Command::Export { .. } => Some(Self::Read),
            Command::Create { .. }
            | Command::Insert { .. }
            | Command::BatchInsert { .. }
            | Command::DeleteRange { .. }
            | Command::Watch(_)
            | Command::Unwatch { .. } => Some(Self::Write),
            Command::Drop { .. } | Command::Save { .. } | Command::Load { .. } | Command::Flush => {
                Some(Self::Admin)
            }
        }
    }
}

/// Whose token it is. Its token is never shown.
#[derive(PartialEq)]
pub(super) struct User {
    pub name: String,
    pub role: Role,
    token: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.role.as_str())
    }
}

/// The tokens that open the server; none where it is open to all.
pub(super) struct Auth {
    /// The token of the settings, an administrator's.
    fixed: Option<Arc<User>>,
    /// Further tokens, read again on demand.
    file: Option<PathBuf>,
    users: RwLock<Vec<Arc<User>>>,
    /// Grows whenever the users may have changed.
    version: AtomicU64,
    pub failures: Failures,
}

impl Auth {
    /// Takes the token of the settings and those of a file.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an empty token, and for a file that is no token file.
    pub fn open(token: Option<&str>, file: Option<&Path>) -> Result<Self> {
        if token.is_some_and(str::is_empty) {
            return Err(Error::invalid("TSDB_AUTH_TOKEN is empty; unset it, or give a token"));
        }
        let fixed = token.map(|token| {
            Arc::new(User { name: "TSDB_AUTH_TOKEN".into(), role: Role::Admin, token: token.to_owned() })
        });
        let auth = Self {
            fixed,
            file: file.map(Path::to_owned),
            users: RwLock::default(),
            version: 0.into(),
            failures: Failures::default(),
        };
        auth.reload()?;
        for user in auth.users.read().iter().filter(|user| user.token.len() < TOKEN_BYTES_SAFE) {
            tracing::warn!(
                "the token of '{}' has only {} bytes and could be guessed; use 16 or more, such as `openssl rand \
                 -hex 16` prints",
                user.name,
                user.token.len()
            );
        }
        Ok(auth)
    }

    /// Reads the token file again. Connections keep what their token allows now; those
    /// whose token has gone have to show another.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming file and line; the tokens are then as before.
    pub fn reload(&self) -> Result<()> {
        let mut users: Vec<Arc<User>> = self.fixed.iter().cloned().collect();
        if let Some(path) = &self.file {
            let found = read_file(path)?;
            if found.is_empty() && self.fixed.is_none() {
                return Err(Error::invalid(format!(
                    "TSDB_AUTH_FILE {}: it holds no token; nobody could do anything",
                    path.display()
                )));
            }
            users.extend(found.into_iter().map(Arc::new));
            if let Some(fixed) = &self.fixed
                && users[1..].iter().any(|user| user.token == fixed.token)
            {
                return Err(Error::invalid(format!(
                    "TSDB_AUTH_FILE {}: it gives the token of TSDB_AUTH_TOKEN another role; each token must differ",
                    path.display()
                )));
            }
        }
        *self.users.write() = users;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Whether clients must present a token.
    pub fn is_on(&self) -> bool {
        self.fixed.is_some() || self.file.is_some()
    }

    /// Whose token this is, found in a time that does not tell how much of it was
    /// right, or whose it nearly was.
    fn find(&self, presented: &str) -> Option<Arc<User>> {
        let users = self.users.read();
        let mut found = u32::MAX;
        for (at, user) in (0..).zip(users.iter()) {
            let same: Choice = user.token.as_bytes().ct_eq(presented.as_bytes());
            found.conditional_assign(&at, same);
        }
        users.get(found as usize).cloned()
    }
}

/// A token file: a line for each token, `<name> <role> <token>`; empty lines and what
/// stands behind a `#` that begins a word are for people.
fn read_file(path: &Path) -> Result<Vec<User>> {
    let bad = |what: String| Error::invalid(format!("TSDB_AUTH_FILE {}: {what}", path.display()));
    let bytes = read_all(&RealDisk, path, FILE_BYTES_MAX).map_err(|e| bad(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8 text".into()))?;
    let mut users: Vec<User> = Vec::new();
    for (line, text) in (1..).zip(text.lines().map(str::trim)) {
        let words: Vec<&str> = text.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        if words.is_empty() {
            continue;
        }
        // What is wrong is said without the token.
        let expected = "expected '<name> <role> <token>', the role being read, write or admin";
        let [name, role, token] = words[..] else {
            return Err(bad(format!("line {line}: {expected}")));
        };
        let role = Role::parse(role).ok_or_else(|| bad(format!("line {line}: {expected}")))?;
        if users.iter().any(|user| user.name == name || user.token == token) {
            return Err(bad(format!(
                "line {line}: the name or the token was there before; each must differ"
            )));
        }
        users.push(User { name: name.to_owned(), role, token: token.to_owned() });
    }
    Ok(users)
}

/// Wrong tokens by the address that they came from. A right token is never delayed:
/// whoever shares an address with a guesser does not suffer.
#[derive(Default)]
pub(super) struct Failures {
    by_address: Mutex<HashMap<IpAddr, Failing>>,
}

struct Failing {
    /// Failures that are not forgiven yet.
    count: u32,
    last: Instant,
    /// How many wait for their answer.
    waiting: usize,
}

impl Failing {
    fn forgive(&mut self, now: Instant) {
        let rounds = now.saturating_duration_since(self.last).as_secs() / FORGIVEN_AFTER.as_secs();
        self.count = self.count.saturating_sub(u32::try_from(rounds).unwrap_or(u32::MAX));
    }
}

/// One that waits.
pub(super) struct Waiting<'a> {
    failures: &'a Failures,
    address: IpAddr,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(failing) = self.failures.by_address.lock().get_mut(&self.address) {
            failing.waiting = failing.waiting.saturating_sub(1);
        }
    }
}

impl Failures {
    /// Notes a failure; says how long its answer has to wait. `None` where enough wait
    /// already.
    fn note(&self, address: IpAddr) -> Option<(Duration, Waiting<'_>)> {
        let address = network(address);
        let now = Instant::now();
        let mut by_address = self.by_address.lock();
        if by_address.len() >= ADDRESSES_MAX && !by_address.contains_key(&address) {
            by_address.retain(|_, failing| {
                failing.forgive(now);
                failing.count > 0 || failing.waiting > 0
            });
            // All of them fail still: the one that has been quiet longest is forgiven.
            let oldest =
                by_address.iter().min_by_key(|(_, failing)| failing.last).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| by_address.len() >= ADDRESSES_MAX) {
                by_address.remove(&oldest);
            }
        }
        let failing = by_address.entry(address).or_insert(Failing { count: 0, last: now, waiting: 0 });
        failing.forgive(now);
        failing.last = now;
        failing.count = failing.count.saturating_add(1);
        if failing.count.is_power_of_two() {
            tracing::warn!(%address, failures = failing.count, "a wrong token");
        }
        if failing.waiting >= WAITING_MAX {
            return None;
        }
        failing.waiting += 1;
        Some(((SLOWED_BY * failing.count).min(SLOWED_BY_MAX), Waiting { failures: self, address }))
    }
}

/// Who counts as one: an address, or what one customer of an IPv6 provider has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The other end of a connection, and what it may do.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub peer: SocketAddr,
    /// Who it is, and by which version of the users.
    user: Option<(Arc<User>, u64)>,
    failures: u32,
}

impl Caller {
    pub fn new(peer: SocketAddr) -> Self {
        Self { peer, user: None, failures: 0 }
    }

    /// Who it is, if that is known.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref().map(|(user, _)| &**user)
    }

    /// Whether it has failed so often that the connection is to be closed.
    pub fn is_hopeless(&self) -> bool {
        self.failures >= ATTEMPTS_MAX
    }

    /// Takes a token.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for a wrong one; `INVALID_ARGUMENT` where none is wanted, for
    /// the client then trusts in a lock that is not there.
    pub fn log_in(&mut self, auth: &Auth, presented: &str) -> Result<Role> {
        if !auth.is_on() {
            return Err(Error::invalid(
                "this server has no token set; start it with TSDB_AUTH_TOKEN, or connect without a token",
            ));
        }
        let version = auth.version.load(Ordering::Acquire);
        if let Some(user) = auth.find(presented) {
            let role = user.role;
            self.user = Some((user, version));
            return Ok(role);
        }
        self.failures += 1;
        Err(Error::new(
            ErrorCode::Unauthorized,
            "the token is wrong; use the server's TSDB_AUTH_TOKEN, or one of its TSDB_AUTH_FILE",
        ))
    }

    /// Keeps it waiting after a failure, the longer the more there were from its address;
    /// where too many wait, the connection is not worth keeping.
    pub async fn slow_down(&mut self, failures: &Failures) {
        match failures.note(self.peer.ip()) {
            Some((wait, waiting)) => {
                tokio::time::sleep(wait).await;
                drop(waiting);
            }
            None => self.failures = ATTEMPTS_MAX,
        }
    }

    /// Forgets who it is.
    pub fn log_out(&mut self) {
        self.user = None;
    }

    /// Whether it may run a command.
    ///
    /// # Errors
    /// `UNAUTHORIZED`.
    pub fn admit(&mut self, auth: &Auth, command: &Command) -> Result<()> {
        let Some(needed) = Role::needed_for(command) else { return Ok(()) };
        self.require(auth, needed, command.name())
    }

    /// Whether it has a role.
    ///
    /// # Errors
    /// `UNAUTHORIZED`.
    pub fn require(&mut self, auth: &Auth, needed: Role, what: &str) -> Result<()> {
        if !auth.is_on() {
            return Ok(());
        }
        let version = auth.version.load(Ordering::Acquire);
        if let Some((user, seen)) = &mut self.user
            && *seen != version
        {
            self.user = auth.find(&user.token).map(|user| (user, version));
        }
        match self.user() {
            None => Err(Error::new(
                ErrorCode::Unauthorized,
                "this server wants a token first; send AUTH <token> (text), {\"type\":\"Auth\",\"data\":{\"token\":…}} \
                 (JSON) or an Authorization: Bearer header (HTTP)",
            )),
            Some(user) if user.role < needed => Err(Error::new(
                ErrorCode::Unauthorized,
                format!(
                    "{what} needs the role {}, and the token of '{}' has {}; use another token",
                    needed.as_str(),
                    user.name,
                    user.role.as_str()
                ),
            )),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::write_atomic;

    fn caller() -> Caller {
        Caller::new(([127, 0, 0, 1], 1).into())
    }

    #[test]
    fn only_the_whole_token_opens() {
        let auth = Auth::open(Some("sesame"), None).unwrap();
        let mut caller = caller();
        assert!(caller.admit(&auth, &Command::Ping).is_ok());
        for wrong in ["", "s", "sesam", "sesame1", "Sesame"] {
            assert_eq!(caller.log_in(&auth, wrong).unwrap_err().code(), ErrorCode::Unauthorized);
            assert!(caller.admit(&auth, &Command::List).is_err());
        }
        assert!(!caller.is_hopeless());
        assert_eq!(caller.log_in(&auth, "sesame").unwrap(), Role::Admin);
        assert!(caller.admit(&auth, &Command::Flush).is_ok());
        let open = Auth::open(None, None).unwrap();
        assert!(super::tests::caller().admit(&open, &Command::Flush).is_ok());
        assert_eq!(caller.log_in(&open, "x").unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn failures_are_counted_by_address_in_bounded_memory() {
        let failures = Failures::default();
        let address = |n: u32| IpAddr::V4(n.into());
        let mut waiting = Vec::new();
        for n in 1..=WAITING_MAX as u32 {
            let (wait, one) = failures.note(address(1)).unwrap();
            assert_eq!(wait, (SLOWED_BY * n).min(SLOWED_BY_MAX));
            waiting.push(one);
        }
        assert!(failures.note(address(1)).is_none());
        assert_eq!(failures.note(address(2)).unwrap().0, SLOWED_BY, "another address starts anew");
        waiting.pop();
        // Those that were turned away count too.
        assert_eq!(failures.note(address(1)).unwrap().0, SLOWED_BY * (WAITING_MAX as u32 + 2));
        for n in 3..3 * ADDRESSES_MAX as u32 {
            failures.note(address(n));
        }
        assert_eq!(failures.by_address.lock().len(), ADDRESSES_MAX);
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:1.2.3.4"), of("1.2.3.4"));
        let mut failing = Failing { count: 9, last: Instant::now(), waiting: 0 };
        failing.forgive(failing.last + 3 * FORGIVEN_AFTER);
        assert_eq!(failing.count, 6);
    }

    #[test]
    fn a_file_gives_roles_and_can_change() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("tokens");
        let write = |text: &str| write_atomic(&RealDisk, temp.path(), "tokens", text.as_bytes()).unwrap();
        write("# who  may  token\n\ngrafana read r-1 # the dashboards\nplant write w-1\nroot admin a-1\n");
        let twice = Auth::open(Some("w-1"), Some(&path)).err().unwrap();
        assert!(twice.message().contains("TSDB_AUTH_TOKEN") && !twice.message().contains("w-1"), "{twice}");
        let auth = Auth::open(None, Some(&path)).unwrap();
        let allowed = |caller: &mut Caller| {
            let flush = caller.admit(&auth, &Command::Flush).is_ok();
            let name = crate::base::SeriesName::new("s").unwrap();
            let create = Command::Create {
                name,
                dimension: 1,
                value_type: crate::base::ValueType::F64,
                if_not_exists: false,
            };
            (caller.admit(&auth, &Command::List).is_ok(), caller.admit(&auth, &create).is_ok(), flush)
        };
        let mut caller = caller();
        assert_eq!(allowed(&mut caller), (false, false, false));
        for (token, role, expected) in [
            ("r-1", Role::Read, (true, false, false)),
            ("w-1", Role::Write, (true, true, false)),
            ("a-1", Role::Admin, (true, true, true)),
        ] {
            assert_eq!(caller.log_in(&auth, token).unwrap(), role);
            assert_eq!(allowed(&mut caller), expected);
        }
        // Now a mere reader, then nobody.
        write("root read a-1\nother admin b-1\n");
        auth.reload().unwrap();
        assert_eq!(allowed(&mut caller), (true, false, false));
        for bad in ["", "# none\n", "root admin\n", "root king t\n", "a read t\nb read t\n", "a b c d\n"] {
            write(bad);
            let e = auth.reload().unwrap_err();
            assert!(e.message().contains("tokens"), "{e}");
            assert_eq!(allowed(&mut caller), (true, false, false), "as before");
        }
        write("other admin b-1\n");
        auth.reload().unwrap();
        assert_eq!(allowed(&mut caller), (false, false, false));
        assert_eq!(format!("{:?}", auth.find("b-1").unwrap()), "other (admin)");
        // Beside the token of the settings a file may be left without any.
        let with_fixed = Auth::open(Some("master"), Some(&path)).unwrap();
        write("# none\n");
        with_fixed.reload().unwrap();
        assert!(with_fixed.find("b-1").is_none() && with_fixed.find("master").is_some());
    }
}
