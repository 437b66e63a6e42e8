//! Bounded decoding, and the few primitives that layouts are made of: little-endian
//! integers, LEB128 varints, zigzag.

use crate::base::{Error, Result};

/// Appends a LEB128 varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer as the varint of its zigzag form.
pub fn put_i64_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length and the text.
pub fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Appends numbers of one width, each as its little-endian bytes.
pub fn put_each<const N: usize>(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = [u8; N]>) {
    let start = out.len();
    out.resize(start + numbers.len() * N, 0);
    let (slots, _) = out[start..].as_chunks_mut::<N>();
    slots.iter_mut().zip(numbers).for_each(|(slot, bytes)| *slot = bytes);
}

/// Reads a byte string from front to back; every step checks that the bytes are
/// there. Errors are `CORRUPT_DATA` and name the offset within the byte string.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the front.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A `CORRUPT_DATA` error at this place.
    pub fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{what} at byte {}", self.at))
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let Some(found) = end.and_then(|end| self.bytes.get(self.at..end)) else {
            return Err(self.error(format_args!("{n} bytes expected, {} left", self.remaining())));
        };
        self.at += n;
        Ok(found)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Result<u128> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A LEB128 varint.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("a varint above 64 bits"))
    }

    /// A varint that may be at most `max`.
    pub fn varint_max(&mut self, max: u64, what: &str) -> Result<usize> {
        let value = self.varint()?;
        if value > max {
            return Err(self.error(format_args!("{what} is {value}, more than {max},")));
        }
        usize::try_from(value).map_err(|_| self.error(what))
    }

    /// A zigzag varint.
    pub fn i64_zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length of at most `max`, and so many bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let n = self.varint_max(max as u64, "a length")?;
        self.take(n)
    }

    /// A length of at most `max`, and so many bytes of UTF-8.
    pub fn str(&mut self, max: usize) -> Result<&'a str> {
        let bytes = self.bytes(max)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("text that is not UTF-8"))
    }

    /// Fails unless everything has been read.
    pub fn finish(&self) -> Result<()> {
        match self.remaining() {
            0 => Ok(()),
            n => Err(self.error(format_args!("{n} bytes too many"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn primitives_read_back(a: u64, b: i64, text in ".{0,40}", tail: u16) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            put_i64_zigzag(&mut out, b);
            put_str(&mut out, &text);
            out.extend_from_slice(&tail.to_le_bytes());
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint().unwrap(), a);
            prop_assert_eq!(reader.i64_zigzag().unwrap(), b);
            prop_assert_eq!(reader.str(200).unwrap(), text);
            prop_assert_eq!(reader.u16().unwrap(), tail);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.remaining() > 0 && reader.varint().is_ok() {}
            let _ = Reader::new(&bytes).str(10);
            let _ = Reader::new(&bytes).u128();
        }
    }

    #[test]
    fn lengths_are_bounded_before_use() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(Reader::new(&out).bytes(1 << 20).is_err());
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
    }
}
