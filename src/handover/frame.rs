//! The 64 bytes that travel with a region's descriptor and say what it is: a claim, which the receiver
//! holds against what the kernel says. docs/layout.md is normative.
#![forbid(unsafe_code)]

use crate::error::{Error, Result, SHMKIT_E_NOT_REGION, SHMKIT_E_VERSION};
use crate::region::{Kind, Rights};

pub(super) const SIZE: usize = 64;
const MAGIC: [u8; 8] = *b"shmkit\0R";
const VERSION: u32 = 1;
/// The object may still grow: GROW is not sealed.
const GROWABLE: u32 = 1;

/// | bytes | what |
/// |---|---|
/// | 0..8 | magic, "shmkit\0R" |
/// | 8..12 | version, 1 |
/// | 12..16 | kind: SHMKIT_KIND_… of the sender's region |
/// | 16..24 | size of the region in bytes |
/// | 24..32 | offset of the region in its object, a multiple of the page size |
/// | 32..36 | rights: 1 reading, 3 reading and writing |
/// | 36..40 | flags: 1 the object may grow |
/// | 40..48 | reserve: how large the region may become in place, in bytes; 0 where it was not made to grow |
/// | 48..64 | 0 |
///
/// Numbers are in the machine's byte order: a descriptor does not leave the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Frame {
    pub kind: u32,
    pub size: u64,
    pub offset: u64,
    pub rights: Rights,
    pub growable: bool,
    pub reserve: u64,
}

impl Frame {
    pub(super) fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_ne_bytes());
        bytes[12..16].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.size.to_ne_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[32..36].copy_from_slice(&self.rights.bits().to_ne_bytes());
        bytes[36..40].copy_from_slice(&(if self.growable { GROWABLE } else { 0 }).to_ne_bytes());
        bytes[40..48].copy_from_slice(&self.reserve.to_ne_bytes());
        bytes
    }

    /// Reads a frame; what it claims is still to be checked.
    pub(super) fn decode(bytes: &[u8; SIZE]) -> Result<Frame> {
        let refused = |why: String| Err(Error::own(SHMKIT_E_NOT_REGION, format!("refused a region: {why}")));
        let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        if bytes[0..8] != MAGIC {
            return refused("what came is no frame of shmkit".to_string());
        }
        if u32_at(8) != VERSION {
            let message = format!(
                "refused a region: its frame has version {}, this library knows {VERSION}",
                u32_at(8)
            );
            return Err(Error::own(SHMKIT_E_VERSION, message));
        }
        let (kind, flags) = (u32_at(12), u32_at(36));
        let with_descriptor =
            [Kind::Memfd, Kind::Descriptor, Kind::File, Kind::Posix].map(|kind| kind as u32);
        if !with_descriptor.contains(&kind) {
            return refused(format!("its frame claims kind {kind}, which has no descriptor"));
        }
        let rights = match u32_at(32) {
            bits if bits == Rights::READ.bits() => Rights::READ,
            bits if bits == Rights::READ_WRITE.bits() => Rights::READ_WRITE,
            bits => return refused(format!("its frame claims rights {bits:#x}")),
        };
        if flags & !GROWABLE != 0 || bytes[48..].iter().any(|&byte| byte != 0) {
            return refused("its frame has bits that version 1 does not know".to_string());
        }
        let (size, growable, reserve) = (u64_at(16), flags & GROWABLE != 0, u64_at(40));
        if reserve != 0 && (!growable || reserve < size) {
            return refused(format!("its frame claims {size} bytes that can grow to {reserve}"));
        }
        Ok(Frame { kind, size, offset: u64_at(24), rights, growable, reserve })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_journey() {
        let (rights, growable) = (Rights::READ, true);
        let frame = Frame { kind: 1, size: 10, offset: 4096, rights, growable, reserve: 20 };
        assert_eq!(Frame::decode(&frame.encode()), Ok(frame));
    }
}
