//! Files of `/proc`, which are as long as they turn out to be.

use std::{fs::File, io, io::Read as _, path::Path};

/// Larger than any file here usually is, so that one call reads it and a second finds its end.
const CHUNK_BYTES: usize = 16 * 1024;

/// The whole text of such a file. `std::fs::read_to_string` asks for the size, is told zero, and feels its way in small
/// steps: a dozen system calls where three do.
///
/// # Errors
///
/// When it cannot be read, or is no UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..])? {
            0 => break,
            read => length += read,
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_end_however_long_it_is() {
        let path = "/proc/self/net/netstat";
        assert!(read_text(path).expect("counters").starts_with("TcpExt:"));
        // Longer than a chunk, and unlike those of `/proc` of a size that is known.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/findings.md");
        let text = read_text(path).expect("a page");
        assert!(text.len() > CHUNK_BYTES);
        assert_eq!(text, std::fs::read_to_string(path).expect("a page"));
        assert!(read_text("/proc/self/no such file").is_err());
    }
}
