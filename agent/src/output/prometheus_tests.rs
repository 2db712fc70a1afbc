//! What a page holds.

use super::*;
use crate::domain::{
    class::SourceClass,
    finding::{Code, Confidence},
    stage::{Place, Stage},
    workload::Workload,
};

fn finding() -> Finding {
    Finding {
        code: Code::HostFirewall,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: SourceClass::NlbProbe,
        port: Some(8080),
        sources: vec!["10.0.1.23".to_owned()],
        stage: Stage::Admitted,
        place: Place::HostFirewall,
        summary: "8 of 8 SYNs of 10.0.16.7 dropped".to_owned(),
        advice: String::new(),
        evidence: Vec::new(),
    }
}

fn seen<'a>(totals: &'a Totals, finding: &'a Finding) -> Observed<'a> {
    let tally = Tally { arrived: 3, served: 2, ..Tally::default() };
    Observed {
        watched_seconds: 41.5,
        verdict: State::Fault,
        totals: Some(totals),
        nodes: vec![Node { address: "10.0.1.23".to_owned(), port: 8080, tally }],
        findings: vec![finding],
        blind_spots: Vec::new(),
        loss: Loss { drops: 4, ..Loss::default() },
    }
}

fn label(netns: Option<&str>) -> TargetLabel {
    TargetLabel { netns: netns.map(str::to_owned), ..TargetLabel::default() }
}

/// The page of one target that is not observed.
fn page_of(label: &TargetLabel, identity: &Identity) -> String {
    page("0.1.0", 0, &[Target { label, identity, observed: None }])
}

#[test]
fn a_page_has_each_name_once_with_its_type_and_its_samples_behind_it() {
    let (totals, finding) = (Totals::default(), finding());
    let (labels, identity) =
        (["a", "b"].map(|name| label(Some(&format!("/run/netns/{name}")))), Identity::default());
    let targets = [
        Target { label: &labels[0], identity: &identity, observed: Some(seen(&totals, &finding)) },
        Target { label: &labels[1], identity: &identity, observed: None },
    ];
    let text = page("0.1.0", 7, &targets);
    for line in [
        "hct_build_info{version=\"0.1.0\"} 1",
        "hct_target_info{target=\"/run/netns/a\"} 1",
        "hct_target_watched{target=\"/run/netns/a\"} 1",
        "hct_target_watched{target=\"/run/netns/b\"} 0",
        "hct_verdict{target=\"/run/netns/a\",verdict=\"fault\"} 1",
        "hct_verdict{target=\"/run/netns/b\",verdict=\"cannot_observe\"} 1",
        "hct_node_syn_arrived_total{target=\"/run/netns/a\",node=\"10.0.1.23\",port=\"8080\"} 3",
        "hct_finding_open{target=\"/run/netns/a\",code=\"host_firewall\",severity=\"fault\",confidence=\"proven\",class=\"nlb_probe\",port=\"8080\"} 1",
        "hct_faults{target=\"/run/netns/a\"} 1",
        "hct_lost_total{target=\"/run/netns/a\",what=\"drops\"} 4",
        "hct_watched_seconds{target=\"/run/netns/a\"} 41.5",
        "hct_output_lines_lost_total 7",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let mut name = "";
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            name = rest.split(' ').next().expect("a name");
            names.push(name);
        } else if !line.starts_with('#') {
            assert_eq!(line.split(['{', ' ']).next(), Some(name), "{line}");
        }
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() == all && all > 15, "{names:?}");
}

#[test]
fn no_address_but_that_of_a_known_node_is_on_the_page() {
    let (totals, finding) = (Totals::default(), finding());
    let (label, identity) = (label(None), Identity::default());
    let target = Target { label: &label, identity: &identity, observed: Some(seen(&totals, &finding)) };
    let text = page("0.1.0", 0, &[target]);
    assert!(text.contains("10.0.1.23") && !text.contains("10.0.16.7"), "{text}");
}

#[test]
fn label_values_cannot_break_out_of_their_quotes() {
    let text = page_of(&label(Some("a\"} 1\nhct_x \\")), &Identity::default());
    assert!(text.contains(r#"hct_target_watched{target="a\"} 1\nhct_x \\"} 0"#), "{text}");
}

#[test]
fn a_target_that_was_named_has_its_label_even_alone_and_the_own_namespace_has_none() {
    let named = page_of(&label(Some("/proc/7/ns/net")), &Identity::default());
    assert!(named.contains("hct_target_watched{target=\"/proc/7/ns/net\"} 0\n"), "{named}");
    let own = page_of(&label(None), &Identity::default());
    assert!(own.contains("hct_target_info 1\n") && own.contains("hct_target_watched 0\n"), "{own}");
}

#[test]
fn who_lives_in_a_target_is_told_once_and_its_own_words_go_before_those_of_the_host() {
    let workload = Workload {
        task: Some("arn:aws:ecs:eu-west-1:111122223333:task/main/0123abcd".to_owned()),
        family: Some("orders".to_owned()),
        container: Some("web".to_owned()),
        pod: None,
    };
    let host = Identity { cluster: Some("of-the-host".to_owned()), ..Identity::default() };
    let text = page_of(&TargetLabel { workload, ..label(Some("a")) }, &host);
    let info = "hct_target_info{target=\"a\",cluster=\"main\",family=\"orders\",task=\"0123abcd\",container=\"web\"} 1";
    assert!(text.lines().any(|line| line == info), "{text}");
    assert_eq!(text.matches("0123abcd").count(), 1, "{text}");
    let own = Identity { service: Some("orders".to_owned()), task_id: Some("0123abcd".to_owned()), ..host };
    let text = page_of(&label(None), &own);
    let info = "hct_target_info{cluster=\"of-the-host\",service=\"orders\",task=\"0123abcd\"} 1";
    assert!(text.lines().any(|line| line == info), "{text}");
    let pod = Workload { pod: Some("1f2e".to_owned()), ..Workload::default() };
    let text = page_of(&TargetLabel { workload: pod, ..label(Some("a")) }, &Identity::default());
    assert!(text.contains("hct_target_info{target=\"a\",pod_uid=\"1f2e\"} 1"), "{text}");
}
