//! The manifest for EKS nodes: Kubernetes takes it, and it asks for what is written. Whether the agent takes its arguments
//! is tested with the agent's command line.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    deploy,
    twins::{python, try_python},
};

/// A file that goes with the test.
struct Manifest(PathBuf);

impl Manifest {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hct-manifest-{}-{name}.yaml", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("removing the file");
    }
}

#[test]
fn kubernetes_takes_the_daemon_set_and_it_gives_the_agent_what_following_a_node_needs() {
    let manifest = Manifest::new("whole", &deploy::filled_text("kubernetes/daemonset.yaml", ""));
    let objects = python("manifest", &manifest.path(), &Value::Null);
    assert_eq!(objects.as_array().map(Vec::len), Some(1));
    let set = &objects[0];
    assert_eq!((&set["apiVersion"], &set["kind"]), (&json!("apps/v1"), &json!("DaemonSet")));
    assert_eq!(set["spec"]["selector"]["matchLabels"], set["spec"]["template"]["metadata"]["labels"]);
    let pod = &set["spec"]["template"]["spec"];
    for (member, value) in [
        ("hostPID", json!(true)),
        ("hostNetwork", json!(true)),
        ("automountServiceAccountToken", json!(false)),
        // Fits the last report: 15 s, as the other homes give.
        ("terminationGracePeriodSeconds", json!(15)),
        ("tolerations", json!([{ "operator": "Exists" }])),
    ] {
        assert_eq!(pod[member], value, "{member}");
    }
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    let probe = &pod["containers"][0]["readinessProbe"]["exec"]["command"];
    assert_eq!(*probe, json!(["/agent", "check", "--live"]), "and none of life: it ends nothing");
    assert_eq!(pod["containers"][0]["livenessProbe"], Value::Null);
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(
        security["capabilities"],
        json!({ "drop": ["ALL"], "add": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "BPF", "PERFMON"] })
    );
    assert_eq!(
        (&security["privileged"], &security["allowPrivilegeEscalation"], &security["readOnlyRootFilesystem"]),
        (&Value::Null, &json!(false), &json!(true))
    );
}

#[test]
fn a_field_that_kubernetes_does_not_know_or_of_another_type_is_refused() {
    let text = deploy::filled_text("kubernetes/daemonset.yaml", "");
    for (from, to) in [
        ("hostPID:", "hostPIDs:"),
        ("hostNetwork: true", "hostNetwork: often"),
        ("kind: DaemonSet", "kind: Daemon"),
    ] {
        assert!(text.contains(from));
        let manifest = Manifest::new(&to.len().to_string(), &text.replace(from, to));
        let output = try_python("manifest", &manifest.path(), &Value::Null);
        assert!(!output.status.success(), "{to} is taken");
    }
}
