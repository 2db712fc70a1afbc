//! Writes the archive a kernel unpacks as its first file system: cpio in the format `newc`.
//! Format: <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>.

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that grows entry by entry. Written here rather than by `cpio`, because device nodes in it then need
/// neither root nor a staging folder.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    paths: BTreeSet<String>,
}

impl Archive {
    /// Adds a directory and those above it, where they are not there yet.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.paths.contains(path) {
            return;
        }
        self.parent(path);
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds an executable file; a path that is there already stays as it is.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.leaf(path, FILE | 0o755, (0, 0), contents);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) {
        self.leaf(path, LINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.leaf(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn leaf(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        let path = path.trim_matches('/');
        if self.paths.contains(path) {
            return;
        }
        self.parent(path);
        self.entry(path, mode, device, contents);
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), contents: &[u8]) {
        let size = u32::try_from(contents.len()).expect("no file of the guest reaches 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("paths are short");
        let inode = u32::try_from(self.paths.len() + 1).expect("there are few files");
        let (user, group, links, time, checksum) = (0, 0, 1, 0, 0);
        self.bytes.extend_from_slice(b"070701");
        for field in [inode, mode, user, group, links, time, size, 0, 0, major, minor, name_size, checksum] {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        self.paths.insert(path.to_owned());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_carry_their_sizes() {
        let mut archive = Archive::default();
        archive.file("/bin/x", b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let headers: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(headers.len(), 3, "a directory, a file and the trailer");
        assert!(headers.iter().all(|at| at % 4 == 0));
        let file = &text[headers[1]..];
        assert_eq!(&file[14..22], "000081ed", "mode");
        assert_eq!(&file[54..62], "00000005", "size of the contents");
        assert_eq!(&file[94..102], "00000006", "size of the name");
        assert_eq!(&file[110..116], "bin/x\0");
        assert_eq!(&file[116..121], "hello");
    }

    #[test]
    fn a_path_is_added_once() {
        let mut archive = Archive::default();
        archive.file("lib/a", b"1");
        archive.file("lib/a", b"2");
        archive.directory("lib");
        assert_eq!(archive.paths.len(), 2);
    }
}
