//! Builds the programs that stand for somebody else's.

#[path = "../agent/build/programs.rs"]
mod programs;

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=../agent/build");
    programs::build("lab-programs", "programs")
}
