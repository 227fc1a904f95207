//! The only source of chance: secrets and ids.

use parking_lot::Mutex;

/// Gives unpredictable bytes. Callable from any thread.
pub trait Entropy: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]);
}

/// `count` random bytes (at most 32) as lower-case hexadecimal digits behind a prefix, as keys, teams and sessions are named.
pub fn random_name(entropy: &dyn Entropy, prefix: &str, count: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = [0_u8; 32];
    let bytes = &mut bytes[..count];
    entropy.fill(bytes);
    let mut name = String::with_capacity(prefix.len() + 2 * count);
    name.push_str(prefix);
    for byte in bytes {
        name.push(char::from(DIGITS[usize::from(*byte >> 4)]));
        name.push(char::from(DIGITS[usize::from(*byte & 15)]));
    }
    name
}

/// The operating system's cryptographic source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for chance")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system's random source is open for the life of the process");
    }
}

/// A repeatable source for tests: the same seed gives the same bytes. Not for secrets.
#[derive(Debug)]
pub struct SeededEntropy {
    state: Mutex<u64>,
}

impl SeededEntropy {
    /// A source that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }

    /// The next 64 bits (splitmix64).
    pub fn next_u64(&self) -> u64 {
        let mut state = self.state.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
