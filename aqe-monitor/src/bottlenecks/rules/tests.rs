use super::super::{
    CpuFacts, Facts, LoadPoint, MemoryFacts, NetworkFacts, QueueFacts, Resource, Severity,
    StoreFacts, Verdict, check,
};
use super::{Thresholds, analyze, analyze_with, short};

fn busy_queue() -> QueueFacts {
    let mut queue = QueueFacts::new(10);
    (queue.arrivals, queue.completions) = (240, 222);
    (queue.service_seconds, queue.running) = (2.4, 9.9);
    (
        queue.pending,
        queue.wait_seconds,
        queue.allowed_wait_seconds,
    ) = (23.0, 5.1, 3.75);
    queue
}

fn of(queue: QueueFacts) -> Facts {
    Facts {
        queue: Some(queue),
        ..Facts::over(60.0)
    }
}

fn change(facts: &Facts) -> Option<(String, String)> {
    let analysis = analyze(facts).expect("valid facts");
    let change = analysis
        .findings
        .into_iter()
        .next()
        .expect("a finding")
        .change?;
    Some((change.setting, change.to))
}

fn set(setting: &str, to: &str) -> Option<(String, String)> {
    Some((setting.to_owned(), to.to_owned()))
}

#[test]
fn a_backlog_asks_for_slots() {
    let analysis = analyze(&of(busy_queue())).expect("valid facts");
    let [finding] = analysis.findings.as_slice() else {
        panic!("{analysis:?}")
    };
    assert_eq!(
        (finding.resource, finding.severity),
        (Resource::Queue, Severity::Warning)
    );
    assert_eq!(
        (finding.current.value, finding.threshold.value),
        (23.0, 15.0)
    );
    assert_eq!(finding.recompute(), Ok(12.0));
    let text = finding.to_string();
    for part in [
        "23 operations wait",
        "set queue.maxConcurrent from 10 to 12",
        "service_seconds = 2.4 s",
        "expect share",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn falling_behind_is_critical() {
    let queue = QueueFacts {
        arrivals: 400,
        pending: 90.0,
        ..busy_queue()
    };
    assert_eq!(
        analyze(&of(queue)).expect("valid facts").findings[0].severity,
        Severity::Critical
    );
}

#[test]
fn waits_that_are_allowed_are_well() {
    let queue = QueueFacts {
        allowed_wait_seconds: 6.0,
        ..busy_queue()
    };
    let analysis = analyze(&of(queue)).expect("valid facts");
    assert!(analysis.findings.is_empty());
    assert_eq!(analysis.healthy[0].threshold.value, 24.0);
}

#[test]
fn slots_that_are_free_are_not_what_is_waited_for() {
    let facts = of(QueueFacts {
        running: 3.0,
        ..busy_queue()
    });
    assert_eq!(change(&facts), None);
    assert!(
        analyze(&facts).expect("valid facts").findings[0]
            .cause
            .contains("something else holds")
    );
}

#[test]
fn full_processors_come_before_the_queue_that_waits_for_them() {
    let mut facts = of(QueueFacts {
        concurrency: 40,
        running: 40.0,
        alone_seconds: 2.0,
        ..busy_queue()
    });
    facts.cpu = Some(CpuFacts {
        cores: 4.0,
        busy: 3.9,
        waiting: 7.0,
        operation_seconds: 1.0,
    });
    let analysis = analyze(&facts).expect("valid facts");
    let named: Vec<Resource> = analysis
        .findings
        .iter()
        .map(|finding| finding.resource)
        .collect();
    assert_eq!(named, [Resource::Cpu, Resource::Queue]);
    assert_eq!(analysis.findings[0].severity, Severity::Critical);
    // Eight operations of 2 s, half of it on a processor, keep four processors busy, and one more is there when they are not.
    assert_eq!(change(&facts), set("queue.maxConcurrent", "9"));
    assert_eq!(analysis.findings[1].change, None);
}

#[test]
fn processors_that_others_use_are_no_reason_to_change_the_queue() {
    let mut facts = of(QueueFacts {
        concurrency: 40,
        running: 40.0,
        alone_seconds: 2.0,
        ..busy_queue()
    });
    facts.cpu = Some(CpuFacts {
        cores: 4.0,
        busy: 3.9,
        waiting: 7.0,
        operation_seconds: 0.1,
    });
    assert_eq!(change(&facts), None);
    assert!(
        analyze(&facts).expect("valid facts").findings[0]
            .cause
            .contains("other work")
    );
}

#[test]
fn slots_that_are_few_and_processors_that_are_full_need_processors() {
    let mut facts = of(QueueFacts {
        alone_seconds: 2.4,
        ..busy_queue()
    });
    facts.cpu = Some(CpuFacts {
        cores: 4.0,
        busy: 3.8,
        waiting: 0.1,
        operation_seconds: 1.0,
    });
    let finding = analyze(&facts).expect("valid facts").findings.remove(0);
    assert_eq!(
        (finding.resource, finding.change.clone()),
        (Resource::Cpu, None)
    );
    assert_eq!(
        finding.recompute(),
        Ok(5.0),
        "4 operations per second of 1 s at 0.8: {finding}"
    );
}

#[test]
fn connections_follow_from_rate_and_time() {
    let mut facts = of(QueueFacts {
        alone_seconds: 1.0,
        ..busy_queue()
    });
    let network = NetworkFacts {
        connections: 2.0,
        busy: 2.0,
        waiting: 7.0,
        operation_seconds: 0.6,
        ..NetworkFacts::default()
    };
    facts.network = Some(network);
    assert_eq!(change(&facts), set("execution.connectionPool", "3"));
    // Without a queue, whoever waits would hold one: (2 + 7) ÷ 0.8.
    let alone = Facts {
        network: Some(network),
        ..Facts::over(60.0)
    };
    assert_eq!(change(&alone), set("execution.connectionPool", "12"));
}

#[test]
fn failures_have_no_setting() {
    let network = NetworkFacts {
        connections: 9.0,
        requests: 1000,
        errors: 300,
        ..NetworkFacts::default()
    };
    let facts = Facts {
        network: Some(network),
        ..of(QueueFacts {
            pending: 0.0,
            failures: 20,
            ..busy_queue()
        })
    };
    let analysis = analyze(&facts).expect("valid facts");
    let seen: Vec<_> = analysis
        .findings
        .iter()
        .map(|f| (f.resource, f.severity, f.recompute().unwrap()))
        .collect();
    assert_eq!(seen[0], (Resource::Network, Severity::Critical, 0.3));
    assert_eq!((seen[1].0, seen[1].1), (Resource::Queue, Severity::Warning));
    assert!(
        analysis
            .findings
            .iter()
            .all(|finding| finding.change.is_none())
    );
}

#[test]
fn memory_is_given_back_by_the_store_or_not_at_all() {
    let memory = MemoryFacts {
        limit_bytes: 2e9,
        used_bytes: 1.9e9,
        ..MemoryFacts::default()
    };
    let store = StoreFacts {
        max_bytes: 1e9,
        used_bytes: 9e8,
        ..StoreFacts::default()
    };
    let mut facts = Facts {
        memory: Some(memory),
        store: Some(store),
        ..Facts::over(60.0)
    };
    // 1.9 GB are to become 1.4: the store gives 0.5 of its 0.9.
    assert_eq!(change(&facts), set("memory.maxSize", "400MB"));
    let finding = analyze(&facts).expect("valid facts").findings.remove(0);
    assert_eq!(
        (finding.severity, finding.recompute_prediction()),
        (Severity::Warning, Ok(0.7))
    );
    assert_eq!(check(&finding, 0.71), Verdict::CameTrue);
    assert!(matches!(check(&finding, 0.9), Verdict::Missed { .. }));

    facts.store = Some(StoreFacts {
        used_bytes: 1e8,
        ..store
    });
    assert_eq!(change(&facts), None);
    facts.store = None;
    assert_eq!(change(&facts), None);
}

#[test]
fn processes_that_the_system_ended_come_first() {
    let mut facts = of(busy_queue());
    facts.memory = Some(MemoryFacts {
        limit_bytes: 2e9,
        used_bytes: 1e9,
        out_of_memory_kills: 1,
        stalled: 0.0,
    });
    let finding = analyze(&facts).expect("valid facts").findings.remove(0);
    assert_eq!(
        (finding.resource, finding.severity),
        (Resource::Memory, Severity::Critical)
    );
}

#[test]
fn evicted_entries_get_room_where_there_is_some() {
    let store = StoreFacts {
        max_bytes: 5e8,
        used_bytes: 5e8,
        hits: 800,
        misses: 200,
        evicted_misses: 150,
        evicted_bytes: 1e8,
        compressed: false,
    };
    let memory = MemoryFacts {
        limit_bytes: 2e9,
        used_bytes: 1e9,
        ..MemoryFacts::default()
    };
    let mut facts = Facts {
        memory: Some(memory),
        store: Some(store),
        ..Facts::over(60.0)
    };
    assert_eq!(change(&facts), set("memory.maxSize", "600MB"));
    let finding = analyze(&facts).expect("valid facts").findings.remove(0);
    assert_eq!(
        (finding.current.value, finding.recompute_prediction()),
        (0.15, Ok(0.05))
    );
    facts.memory = None;
    assert_eq!(change(&facts), set("memory.compression", "true"));
    facts.store = Some(StoreFacts {
        compressed: true,
        ..store
    });
    assert_eq!(change(&facts), None);
    facts.store = Some(StoreFacts {
        hits: 1,
        misses: 5,
        ..store
    });
    assert_eq!(
        analyze(&facts).expect("valid facts").insufficient[0].reason,
        "6 reads in the window; 100 are needed"
    );
}

#[test]
fn slowness_without_a_reason_asks_for_a_measurement() {
    let queue = QueueFacts {
        alone_seconds: 0.8,
        ..busy_queue()
    };
    let finding = analyze(&of(queue.clone()))
        .expect("valid facts")
        .findings
        .remove(0);
    assert_eq!(
        (finding.resource, finding.change.clone()),
        (Resource::Contention, None)
    );
    assert!(
        finding.cause.contains("at 0 numbers of running operations"),
        "{}",
        finding.cause
    );
    // A law that levels off says that no number of slots helps, and where the end is.
    let points = [1.0, 4.0, 8.0, 10.0].map(|n: f64| LoadPoint {
        concurrency: n,
        throughput: n / (1.0 + 0.6 * (n - 1.0)),
    });
    let finding = analyze(&of(QueueFacts {
        points: points.to_vec(),
        ..queue
    }))
    .expect("valid facts")
    .findings
    .remove(0);
    assert_eq!(
        (finding.resource, finding.change.clone()),
        (Resource::Contention, None)
    );
    assert!(
        (finding.recompute().unwrap() - 1.0 / 0.6).abs() < 1e-6,
        "{finding}"
    );
}

#[test]
fn facts_that_nobody_can_have_measured_are_refused() {
    for (name, value) in [
        ("queue.service_seconds", f64::NAN),
        ("queue.service_seconds", -1.0),
    ] {
        let refused = analyze(&of(QueueFacts {
            service_seconds: value,
            ..busy_queue()
        }))
        .unwrap_err();
        assert_eq!(refused.name, name);
    }
    assert!(analyze(&Facts::over(0.0)).is_err());
    assert!(analyze(&Facts::over(f64::INFINITY)).is_err());
}

#[test]
fn thresholds_of_nonsense_do_no_harm() {
    let mut thresholds = Thresholds::default();
    (thresholds.target, thresholds.cpu, thresholds.operations) = (0.0, f64::NAN, 0);
    let queue = QueueFacts {
        completions: 0,
        ..busy_queue()
    };
    for finding in analyze_with(&of(queue), thresholds)
        .expect("valid facts")
        .findings
    {
        assert!(
            finding.current.value.is_finite() && finding.threshold.value.is_finite(),
            "{finding}"
        );
    }
}

#[test]
fn numbers_in_sentences_are_short() {
    let rows = [
        (0.0, "0"),
        (23.0, "23"),
        (5.1049, "5.1"),
        (0.012345, "0.0123"),
        (123456.7, "123457"),
        (0.999999, "1"),
    ];
    for (value, text) in rows {
        assert_eq!(short(value), text);
    }
}

#[cfg(feature = "serde")]
#[test]
fn what_is_written_can_be_read() {
    let facts = of(busy_queue());
    let analysis = analyze(&facts).expect("valid facts");
    let text = serde_json::to_string(&(&facts, &analysis)).unwrap();
    assert_eq!(
        serde_json::from_str::<(Facts, super::Analysis)>(&text).unwrap(),
        (facts, analysis)
    );
}
