//! Which shard owns a symbol. A shard that subscribes to all symbols is sent those of the other shards as well and skips
//! them: [`intake`](crate::engine::intake) asks here for each message before anything is decoded, and counts the skipped ones
//! as `events_foreign`.

/// Which symbols this engine owns. Instances share by FNV-1a modulo their number, as nats-server's `partition()` does;
/// the cores of an instance share what is its by the quotient, so that every core has its part of every partition.
/// Heartbeats are owned by their last tokens likewise, so that each counts once; those of others are heard all the same, as a
/// provider is silent only when nothing of it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ownership {
    /// This instance and how many there are.
    pub shard: u32,
    /// Instances that share the symbols.
    pub shard_count: u32,
    /// This core and how many the instance has.
    pub core: u32,
    /// Cores that share what is the instance's.
    pub core_count: u32,
}

impl Ownership {
    /// One core of one instance: everything.
    pub const ALL: Ownership = Ownership { shard: 0, shard_count: 1, core: 0, core_count: 1 };

    /// Whether `symbol` is this core's.
    #[inline]
    pub fn owns(self, symbol: &[u8]) -> bool {
        if self.shard_count == 1 && self.core_count == 1 {
            return true;
        }
        let hash = fnv1a_32(symbol);
        hash % self.shard_count == self.shard && hash / self.shard_count % self.core_count == self.core
    }

    /// The core of this instance that owns `symbol`; `None` when another instance does.
    pub fn core_of(self, symbol: &[u8]) -> Option<u32> {
        let hash = fnv1a_32(symbol);
        (hash % self.shard_count == self.shard).then(|| hash / self.shard_count % self.core_count)
    }
}

/// FNV-1a, 32 bit: what nats-server's `partition()` computes of a token, so that both sides agree on an owner.
#[inline]
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ *byte as u32).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_reference_values() {
        // From the FNV authors' test vectors.
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a_32(b"foobar"), 0xbf9c_f968);
    }
}
