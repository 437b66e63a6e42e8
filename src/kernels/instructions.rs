//! Which vector instructions this processor has, asked once.

/// A set of instructions that this processor has: a value can't be had for another one,
/// so that whoever holds it may run code that was compiled for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// What every processor has that the crate was compiled for.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// The best there is.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            // The standard library asks the processor once and remembers.
            if has_avx512() {
                return Self(Set::Avx512);
            }
            if has_avx2() {
                return Self(Set::Avx2);
            }
        }
        Self::PORTABLE
    }

    /// All there are, for tests and measurements.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut found = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                found.push(Self(Set::Avx2));
            }
            if has_avx512() {
                found.push(Self(Set::Avx512));
            }
        }
        found
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
        }
    }

    pub(super) fn set(self) -> Set {
        self.0
    }

    /// Runs plain loops, compiled for these instructions as far as they are inlined.
    #[inline]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        match self.0 {
            Set::Portable => work(),
            // SAFETY: the processor has the instructions, see the type.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { run_avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { run_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512dq")]
fn run_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}
