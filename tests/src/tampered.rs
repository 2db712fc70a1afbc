//! Copies of the agent's binary, as it is or with programs that no kernel takes.

use std::{fs, path::PathBuf, process};

use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _,
    elf::{EM_BPF, FileHeader64},
    read::elf::ElfFile,
};

use crate::{Netns, agent::binary, shell};

/// How an ELF file for a little-endian machine with 64 bits begins.
const MAGIC: &[u8] = b"\x7fELF\x02\x01";
/// Where it says for which machine it is.
const MACHINE: usize = 18;
/// An instruction that exists nowhere.
const NONSENSE: [u8; 8] = [0xff; 8];

/// A copy where everybody may run it; removed again.
pub struct Copied(pub PathBuf);

impl Copied {
    /// As it is.
    ///
    /// # Panics
    ///
    /// When it cannot be copied.
    pub fn new(namespace: &Netns) -> Self {
        Self::of(namespace, &binary().display().to_string())
    }

    /// With programs of these names that begin with an instruction no verifier lets through.
    ///
    /// # Panics
    ///
    /// When the binary has no program of a name.
    pub fn refused(namespace: &Netns, programs: &[&str]) -> Self {
        let mut bytes = fs::read(binary()).expect("reading the agent's binary");
        for program in programs {
            let places = entries(&bytes, program);
            assert!(!places.is_empty(), "the agent holds no program {program}");
            for place in places {
                bytes[place..place + NONSENSE.len()].copy_from_slice(&NONSENSE);
            }
        }
        let mode = fs::metadata(binary()).expect("asking for its rights").permissions();
        let path = fresh();
        let written = fs::write(&path, bytes).and_then(|()| fs::set_permissions(&path, mode));
        written.unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
        let written = Self(path);
        Self::of(namespace, &written.0.display().to_string())
    }

    /// Not copied by this process: a program that any process has open for writing cannot be started, and one that
    /// another test starts at this moment would have it open.
    fn of(namespace: &Netns, original: &str) -> Self {
        let path = fresh();
        shell::run(namespace, "cp", &[original, &path.display().to_string()], "");
        Self(path)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("removing the copy");
    }
}

fn fresh() -> PathBuf {
    std::env::temp_dir().join(format!("hct-agent-{}-{}", process::id(), fastrand::u32(..)))
}

/// Where the first instructions of the programs of this name are: the objects with programs are parts of the binary.
fn entries(binary: &[u8], program: &str) -> Vec<usize> {
    let (mut entries, mut next) = (Vec::new(), 0);
    while let Some(found) = binary[next..].windows(MAGIC.len()).position(|window| window == MAGIC) {
        let begin = next + found;
        next = begin + MAGIC.len();
        if binary.get(begin + MACHINE..begin + MACHINE + 2) != Some(&EM_BPF.to_le_bytes()[..]) {
            continue;
        }
        entries.extend(entry(&binary[begin..], program).map(|place| begin + place));
    }
    entries
}

fn entry(object: &[u8], program: &str) -> Option<usize> {
    let object = ElfFile::<FileHeader64<LittleEndian>>::parse(object).ok()?;
    let symbol = object.symbols().find(|symbol| symbol.name() == Ok(program))?;
    let section = object.section_by_index(symbol.section_index()?).ok()?;
    Some(section.file_range()?.0 as usize + symbol.address() as usize)
}
