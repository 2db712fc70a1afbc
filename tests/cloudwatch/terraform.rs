//! The Terraform module: parsed everywhere; evaluated by terraform itself where that is installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};

use lab::aws::moto::{ACCOUNT, Moto, REGION};
use serde_json::{Value, json};

use crate::{
    deploy,
    twins::{GROUP, python, twins},
};

/// Blocks of one kind by their names; those with a type and a name as `type.name`.
fn blocks<'a>(module: &'a Value, kind: &str) -> BTreeMap<String, &'a Value> {
    let bare = |name: &str| name.trim_matches('"').to_owned();
    let mut found = BTreeMap::new();
    for block in module[kind].as_array().into_iter().flatten() {
        for (name, body) in block.as_object().into_iter().flatten() {
            let inner = body.as_object().expect("a body");
            if inner.contains_key("__is_block__") {
                found.insert(bare(name), body);
            } else {
                found.extend(
                    inner.iter().map(|(second, body)| (format!("{}.{}", bare(name), bare(second)), body)),
                );
            }
        }
    }
    found
}

/// The names behind this prefix in a text, such as those of variables behind `var.`.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let name =
        |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("").to_owned();
    text.split(prefix).skip(1).map(name).collect()
}

fn sources() -> String {
    let mut paths: Vec<PathBuf> = fs::read_dir(deploy::path("terraform"))
        .expect("the module")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).expect("a source") + "\n").collect()
}

#[test]
fn the_module_makes_what_the_documents_promise_and_every_name_in_it_is_known() {
    let directory = deploy::path("terraform");
    let module = python("parse", &directory.display().to_string(), &Value::Null);
    let resources: Vec<String> = blocks(&module, "resource").into_keys().collect();
    assert_eq!(
        resources,
        [
            "aws_cloudwatch_dashboard.this",
            "aws_cloudwatch_log_group.this",
            "aws_cloudwatch_metric_alarm.this",
            "aws_iam_policy.discovery",
            "aws_iam_policy.shipping",
            "aws_iam_role_policy_attachment.discovery",
            "aws_iam_role_policy_attachment.shipping",
        ]
    );
    let text = sources();
    let variables: BTreeSet<String> = blocks(&module, "variable").into_keys().collect();
    assert_eq!(names(&text, "var."), variables, "every variable is used, and no other");
    for (name, variable) in blocks(&module, "variable") {
        assert!(variable.get("description").is_some() && variable.get("type").is_some(), "{name}");
    }
    let outputs: Vec<String> = blocks(&module, "output").into_keys().collect();
    assert_eq!(
        outputs,
        ["container_definition", "discovery_policy_arn", "log_group_name", "shipping_policy_arn"]
    );
    // Every file that is filled in exists, and every place in it is given.
    let places: BTreeSet<String> = module["locals"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|locals| locals["places"].as_object())
        .flat_map(|places| places.keys().cloned())
        .collect();
    let files: Vec<&str> = text
        .split("templatefile(\"${path.module}/../")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(files.len(), 6, "{files:?}");
    for file in files {
        let unknown: Vec<_> =
            names(&deploy::text(file), "${").into_iter().filter(|name| !places.contains(name)).collect();
        assert!(unknown.is_empty(), "{file} has places that nobody fills in: {unknown:?}");
    }
}

/// The module without what needs a provider: its own expressions, evaluated by terraform.
struct Evaluated {
    directory: PathBuf,
}

impl Evaluated {
    /// `test`: tests run beside one another, each in a directory of its own.
    fn new(test: &str) -> Self {
        let name = format!("terraform-{test}-{}", std::process::id());
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let module = directory.join("terraform");
        fs::create_dir_all(&module).expect("a directory");
        for folder in ["iam", "cloudwatch"] {
            fs::create_dir_all(directory.join(folder)).expect("a directory");
            for entry in fs::read_dir(deploy::path(folder)).expect("a folder") {
                let entry = entry.expect("an entry");
                fs::copy(entry.path(), directory.join(folder).join(entry.file_name())).expect("a copy");
            }
        }
        // A resource of terraform's own stands in for what would attach the policies: who gets one is worked out as ever.
        let stand_in = sources()
            .replace("resource \"aws_iam_role_policy_attachment\"", "stand_in \"terraform_data\"")
            .replace("  role       = each.value", "  input = each.value");
        let kept: Vec<&str> =
            stand_in.lines().filter(|line| !line.starts_with("  policy_arn = aws_iam_policy.")).collect();
        let text = without_blocks(&kept.join("\n"), &["resource ", "data ", "terraform "]);
        let mut text = text.replace("stand_in \"terraform_data\"", "resource \"terraform_data\"");
        for (from, to) in [
            ("data.aws_caller_identity.current.account_id", ACCOUNT),
            ("data.aws_partition.current.partition", "aws"),
            ("data.aws_region.current.id", REGION),
            ("aws_cloudwatch_log_group.this.name", GROUP),
            ("aws_iam_policy.shipping.arn", "shipping"),
            ("aws_iam_policy.discovery.arn", "discovery"),
        ] {
            text = text.replace(from, &format!("\"{to}\""));
        }
        text.push_str(
            r#"
output "tested" {
  value = {
    log_group = local.log_group
    alarms    = [local.alarms.fault, local.alarms.heartbeat]
    dashboard = jsondecode(templatefile("${path.module}/../cloudwatch/dashboard.json", local.places))
    policies = [
      jsondecode(templatefile("${path.module}/../iam/shipping.json", local.places)),
      jsondecode(templatefile("${path.module}/../iam/discovery.json", local.places)),
    ]
  }
}
"#,
        );
        fs::write(module.join("all.tf"), text).expect("writing the module");
        let values = json!({
            "name": "orders", "cluster_name": "prod", "service_name": "orders", "image": "agent:0.1.0",
            "ports": [8080, 8443], "nlb": ["a.example", "10.0.1.0/24"], "arguments": ["--health-interval", "10s"],
            "expected_agents": 2,
        });
        fs::write(module.join("terraform.tfvars.json"), values.to_string()).expect("writing the variables");
        Self { directory }
    }

    /// Runs terraform in the module and returns its output.
    #[track_caller]
    fn terraform(&self, arguments: &[&str]) -> String {
        self.terraform_in("terraform", arguments)
    }

    /// The same in another folder beside it.
    #[track_caller]
    fn terraform_in(&self, folder: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("terraform");
        command.args(arguments).current_dir(self.directory.join(folder));
        let output = command.output().expect("terraform");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "terraform {arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}

impl Drop for Evaluated {
    fn drop(&mut self) {
        let _gone_already = fs::remove_dir_all(&self.directory);
    }
}

/// Takes away the top-level blocks that begin with these words. In formatted files a block ends with the next line that
/// is a closing brace alone.
fn without_blocks(text: &str, kinds: &[&str]) -> String {
    let mut kept = String::new();
    let mut is_inside = false;
    for line in text.lines() {
        let begins = kinds.iter().any(|kind| line.starts_with(kind));
        is_inside |= begins;
        if !is_inside {
            kept.push_str(line);
            kept.push('\n');
        }
        // `data "x" "y" {}` begins and ends in one line.
        if is_inside && (line == "}" || (begins && line.ends_with("{}"))) {
            is_inside = false;
        }
    }
    kept
}

/// Roles that are made in the same plan have no names yet: what decides how many attachments there are must be known.
#[test]
fn roles_may_be_made_with_what_is_attached_to_them() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("skipped: terraform is not installed");
        return;
    }
    let evaluated = Evaluated::new("roles");
    let caller = evaluated.directory.join("caller");
    fs::create_dir_all(&caller).expect("a directory");
    let text = r#"
resource "terraform_data" "role" {}

module "tracer" {
  source               = "../terraform"
  name                 = "orders"
  cluster_name         = "prod"
  service_name         = "orders"
  image                = "agent:0.1.0"
  ports                = [8080]
  nlb                  = ["10.0.1.0/24"]
  shipping_role_names  = { execution = terraform_data.role.id }
  discovery_role_names = { people = terraform_data.role.id }
}
"#;
    fs::write(caller.join("main.tf"), text).expect("writing the caller");
    evaluated.terraform_in("caller", &["init", "-no-color"]);
    let plan = evaluated.terraform_in("caller", &["plan", "-no-color"]);
    for attached in ["shipping[\"execution\"]", "discovery[\"people\"]"] {
        assert!(plan.contains(&format!("module.tracer.terraform_data.{attached} will be created")), "{plan}");
    }
}

#[test]
fn terraform_itself_reads_the_module_and_fills_in_the_same_twins() {
    if Command::new("terraform").arg("version").output().is_err() {
        eprintln!("skipped: terraform is not installed, so the module was only parsed");
        return;
    }
    let evaluated = Evaluated::new("twins");
    // What is not formatted would also break the cutting of blocks.
    let formatted = Command::new("terraform")
        .args(["fmt", "-check", "-recursive"])
        .arg(deploy::path("terraform"))
        .output()
        .expect("terraform");
    assert!(formatted.status.success(), "not formatted: {}", String::from_utf8_lossy(&formatted.stdout));
    evaluated.terraform(&["apply", "-auto-approve", "-no-color"]);
    let outputs: Value = serde_json::from_str(&evaluated.terraform(&["output", "-json"])).expect("JSON");
    let container = &outputs["container_definition"]["value"];
    let tested = &outputs["tested"]["value"];
    let expected = twins(container);
    for name in ["log_group", "alarms", "dashboard"] {
        assert_eq!(tested[name], expected[name], "{name}");
    }
    assert_eq!(tested["policies"], json!([expected["policies"][0], expected["policies"][2]]));
    assert_eq!(
        container["command"],
        json!([
            "trace",
            "--output",
            "emf",
            "--on-blind",
            "stay",
            "--port",
            "8080,8443",
            "--nlb",
            "a.example,10.0.1.0/24",
            "--health-interval",
            "10s",
        ])
    );
    // AWS's model of a task definition takes it beside the application.
    let moto = Moto::start();
    let has = python("put", &format!("http://{}", moto.address()), &expected);
    let agent = &has["containers"][1];
    assert_eq!((&agent["essential"], &agent["restartPolicy"]["enabled"]), (&json!(false), &json!(true)));
    // But for its names it is the sidecar of the other file.
    let twin = &deploy::filled("ecs/sidecar.json", GROUP)["containerDefinitions"][1];
    for member in [
        "name",
        "user",
        "cpu",
        "memory",
        "environment",
        "healthCheck",
        "linuxParameters",
        "readonlyRootFilesystem",
        "restartPolicy",
        "stopTimeout",
    ] {
        assert_eq!(container[member], twin[member], "{member}");
    }
}
