//! Builds the eBPF programs and embeds them: the agent is one self-contained binary.

#[path = "build/programs.rs"]
mod programs;

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=../agent-common/src");
    programs::build("agent-ebpf", "../agent-ebpf")
}
