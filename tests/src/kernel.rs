//! What the kernel under the lab cannot tell, asked of the kernel itself and not of the agent; and type information in
//! which something is missing, so that a kernel that has it shows what becomes of one that has not.

use std::{
    env, fs,
    path::Path,
    process,
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::wait;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// The enum of drop reasons.
const REASONS: &str = "skb_drop_reason";

/// Whether drop reasons are hidden: `LAB_WITHOUT=drop_reasons` runs all rows as if the kernel gave none, as those before Linux 5.17.
pub static ARE_HIDDEN: LazyLock<bool> = LazyLock::new(|| match env::var("LAB_WITHOUT") {
    Ok(what) if what == "drop_reasons" => true,
    Ok(what) => panic!("LAB_WITHOUT={what} is nothing the lab can leave out: drop_reasons is"),
    Err(_) => false,
});

/// Whether the agent can learn from this kernel why it drops.
pub static GIVES_DROP_REASONS: LazyLock<bool> =
    LazyLock::new(|| !*ARE_HIDDEN && find(&type_information(), REASONS).is_some());

/// Whether a program of the agent's may miss a run because another task of its CPU is in the middle of one. Measured: 5 to 16
/// a row on 7.2, and on an emulated 6.1 two in one row of 161. Where a kernel before 7.0 runs at full pace, five in one row of
/// thousands. The agent counts them as lost.
pub static MAY_MISS_RUNS: LazyLock<bool> = LazyLock::new(|| {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let major = release.split('.').next().and_then(|major| major.parse().ok());
    wait::pace() > 1 || major.is_some_and(|major: u32| major >= 7)
});

/// What the agent is to be told of the kernel, in rows that do not care: nothing, but with `LAB_WITHOUT`.
pub fn arguments() -> Vec<String> {
    if *ARE_HIDDEN { without(REASONS) } else { Vec::new() }
}

/// Arguments that make the agent read type information without this name of a type or a member.
///
/// # Panics
///
/// When the kernel shows no type information.
pub fn without(name: &str) -> Vec<String> {
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    // One file for each kernel and name, whoever runs the lab how often.
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    // Among what is built, where the sources are; a booted kernel goes with everything in it.
    let built = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    let directory = if built.is_dir() { built.to_owned() } else { env::temp_dir() };
    let path = directory.join(format!("lab-btf-{release}-without-{name}"));
    if !path.exists() {
        let mut bytes = type_information();
        while let Some(place) = find(&bytes, name) {
            bytes[place] = b'_';
        }
        let half = path.with_extension(process::id().to_string());
        let written = fs::write(&half, bytes).and_then(|()| fs::rename(&half, &path));
        written.unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }
    vec!["--btf".to_owned(), path.display().to_string()]
}

fn type_information() -> Vec<u8> {
    fs::read(BTF).unwrap_or_else(|error| panic!("reading {BTF}: {error}"))
}

/// Where the name is among the strings, each of which stands between zeros.
fn find(bytes: &[u8], name: &str) -> Option<usize> {
    let whole = format!("\0{name}\0");
    bytes.windows(whole.len()).position(|window| window == whole.as_bytes()).map(|place| place + 1)
}
