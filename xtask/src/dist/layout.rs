//! An OCI image layout (opencontainers/image-spec v1.1: image-layout.md, manifest.md, config.md), written by hand:
//! one layer, nothing but the agent and its licences in it, and the same bytes for the same contents.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cmd;
use crate::dist::machine::Machine;

/// What an image holds.
pub struct Image {
    /// What it runs on.
    pub machine: Machine,
    /// The binary.
    pub agent: PathBuf,
}

/// The beginning of time: an image is dated by its contents.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Writes the layout with one image for each machine in place of what was there; the digest of its index.
pub fn write(directory: &Path, images: &[Image], licences: &[PathBuf]) -> Result<String> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    let blobs = Blobs { directory: directory.join("blobs/sha256") };
    fs::create_dir_all(&blobs.directory).with_context(|| format!("making {}", blobs.directory.display()))?;
    let manifests =
        images.iter().map(|image| manifest(&blobs, image, licences)).collect::<Result<Vec<_>>>()?;
    let index = encode(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    }));
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    };
    write("index.json", &index)?;
    write("oci-layout", &encode(&json!({ "imageLayoutVersion": "1.0.0" })))?;
    digest(&directory.join("index.json"))
}

/// Adds one image; its descriptor for the index.
fn manifest(blobs: &Blobs, image: &Image, licences: &[PathBuf]) -> Result<Value> {
    let layer = blobs.add_layer(image, licences)?;
    let config = encode(&json!({
        "created": CREATED,
        "architecture": image.machine.oci(),
        "os": "linux",
        "config": {
            "Entrypoint": ["/agent"],
            "Cmd": ["trace"],
            "Labels": {
                "org.opencontainers.image.title": "agent",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": "(MIT OR Apache-2.0) AND (MIT OR GPL-2.0-only)",
            },
            // First a report and a verdict, then everything is unhooked.
            "StopSignal": "SIGTERM",
        },
        // The layer is not compressed, so both digests are the same.
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", layer.digest)] },
        "history": [{ "created": CREATED, "created_by": "cargo xtask dist" }],
    }));
    let config = blobs.add(&config)?;
    let manifest = encode(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.describe("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.describe("application/vnd.oci.image.layer.v1.tar")],
    }));
    let mut descriptor = blobs.add(&manifest)?.describe("application/vnd.oci.image.manifest.v1+json");
    descriptor["platform"] = json!({ "architecture": image.machine.oci(), "os": "linux" });
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": env!("CARGO_PKG_VERSION") });
    Ok(descriptor)
}

/// Keys of an object are sorted, so this is the same each time.
fn encode(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Where contents are kept by their digest.
struct Blobs {
    directory: PathBuf,
}

struct Blob {
    digest: String,
    bytes: u64,
}

impl Blob {
    fn describe(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": format!("sha256:{}", self.digest), "size": self.bytes })
    }
}

impl Blobs {
    fn add(&self, contents: &[u8]) -> Result<Blob> {
        let fresh = self.directory.join("fresh");
        fs::write(&fresh, contents).with_context(|| format!("writing {}", fresh.display()))?;
        self.keep(&fresh)
    }

    /// The root file system: the agent, its licences, and an empty directory for a ready file.
    fn add_layer(&self, image: &Image, licences: &[PathBuf]) -> Result<Blob> {
        let root = self.directory.join("root");
        for directory in ["licenses", "tmp"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        }
        copy(&image.agent, &root.join("agent"))?;
        for licence in licences {
            copy(licence, &root.join("licenses").join(licence.file_name().context("a licence has a name")?))?;
        }
        let fresh = self.directory.join("fresh");
        let mut tar = Command::new("tar");
        tar.args(["--create", "--format=ustar", "--sort=name", "--mtime=@0", "--numeric-owner"]);
        tar.args(["--owner=0", "--group=0", "--mode=u=rwX,go=rX"]).arg("--file").arg(&fresh);
        tar.arg("--directory").arg(&root).args(["agent", "licenses", "tmp"]);
        cmd::run(&mut tar)?;
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
        self.keep(&fresh)
    }

    fn keep(&self, fresh: &Path) -> Result<Blob> {
        let digest = digest(fresh)?;
        let kept = self.directory.join(&digest);
        fs::rename(fresh, &kept).with_context(|| format!("writing {}", kept.display()))?;
        Ok(Blob { digest, bytes: fs::metadata(&kept)?.len() })
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display())).map(drop)
}

/// SHA-256 in hexadecimal digits, by the tool of every Linux machine.
fn digest(file: &Path) -> Result<String> {
    let line = cmd::ask(Command::new("sha256sum").arg("--binary").arg(file));
    let digest = line.as_deref().and_then(|line| line.split_whitespace().next()).map(str::to_owned);
    digest.with_context(|| format!("sha256sum of {} failed", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a directory");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removing the directory");
        }
    }

    #[test]
    fn the_same_contents_give_the_same_digest_whenever_and_wherever_they_are_written() {
        let scratch = Scratch::new("layout");
        let mut digests = Vec::new();
        for (directory, contents) in [("one", "program"), ("two", "program"), ("three", "another")] {
            let home = scratch.0.join(directory);
            fs::create_dir_all(&home).expect("a directory");
            let (agent, licence) = (home.join(format!("agent-{directory}")), home.join("LICENSE"));
            fs::write(&agent, contents).expect("a file");
            fs::write(&licence, "as you like").expect("a file");
            // Another time and other rights on the file system.
            if directory == "two" {
                let touch = Command::new("touch").args(["-d", "2001-01-01"]).arg(&agent).status();
                assert!(touch.expect("touch").success());
                let chmod = Command::new("chmod").arg("0700").arg(&agent).arg(&licence).status();
                assert!(chmod.expect("chmod").success());
            } else {
                let chmod = Command::new("chmod").arg("0755").arg(&agent).arg(&licence).status();
                assert!(chmod.expect("chmod").success());
            }
            let images =
                [Machine::X86_64, Machine::Aarch64].map(|machine| Image { machine, agent: agent.clone() });
            digests.push(write(&home.join("oci"), &images, &[licence]).expect("a layout"));
        }
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], digests[2], "another program is another image");
    }

    #[test]
    fn every_blob_is_what_its_name_says_and_is_reached_from_the_index() {
        let scratch = Scratch::new("blobs");
        let agent = scratch.0.join("agent");
        fs::write(&agent, "program").expect("a file");
        let oci = scratch.0.join("oci");
        write(&oci, &[Image { machine: Machine::X86_64, agent }], &[]).expect("a layout");
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
        };
        let blob = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().and_then(|text| text.strip_prefix("sha256:"));
            let path = oci.join("blobs/sha256").join(name.expect("a digest"));
            assert_eq!(digest(&path).expect("a digest"), name.expect("a digest"));
            assert_eq!(fs::metadata(&path).expect("a blob").len(), descriptor["size"]);
            path
        };
        let manifest = read(&blob(&read(&oci.join("index.json"))["manifests"][0]));
        let config = read(&blob(&manifest["config"]));
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let listing = cmd::ask(Command::new("tar").args(["--list", "--verbose", "--file"]).arg(&layer));
        let listing = listing.expect("tar reads it");
        assert!(listing.starts_with("-rwxr-xr-x 0/0") || listing.starts_with("-rw-r--r-- 0/0"), "{listing}");
        assert_eq!(fs::read_dir(oci.join("blobs/sha256")).expect("the blobs").count(), 3, "and nothing else");
    }
}
