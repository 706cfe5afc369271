use bulkhead_servers::Scratch;

use super::*;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn from_git() -> Source {
    Source { path: None, git: Some("https://git.example/bulkhead".to_owned()) }
}

fn from_checkout() -> Source {
    Source { path: Some(checkout()), git: None }
}

/// Every file below a directory, by its path from there.
fn below(root: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_of_the_template_is_embedded() {
    let mut named: Vec<&str> = FILES.iter().map(|(path, _)| *path).chain(["Cargo.toml.in"]).collect();
    named.sort_unstable();
    assert_eq!(below(&checkout().join("crates/bulkhead/template")), named);
}

#[test]
fn a_repository_is_written_and_nothing_is_left_open_in_it() {
    let scratch = Scratch::new().unwrap();
    for (name, source) in [("shop", from_checkout()), ("shop-2", from_git())] {
        let root = scratch.path().join(name);
        run(&root, &source).unwrap();
        let mut wanted: Vec<&str> = FILES.iter().chain([&LOCK, &MANIFEST]).map(|(path, _)| *path).collect();
        wanted.sort_unstable();
        assert_eq!(below(&root), wanted);
        for path in wanted {
            let text = fs::read_to_string(root.join(path)).unwrap();
            for open in ["{{name}}", "{{bulkhead}}", "{{testkit}}"] {
                assert!(!text.contains(open), "{name}/{path} has {open}");
            }
        }
        let tests = fs::read_to_string(root.join("tests/it.rs")).unwrap();
        assert!(tests.contains(&format!("CARGO_BIN_EXE_{name}\"")), "{tests}");
    }
    let manifest = |name: &str| fs::read_to_string(scratch.path().join(name).join("Cargo.toml")).unwrap();
    let here = format!("bulkhead = {{ path = \"{}\" }}\n", checkout().join("crates/bulkhead").display());
    assert!(manifest("shop").contains(&here), "{}", manifest("shop"));
    let pinned = format!("git = \"https://git.example/bulkhead\", tag = \"v{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest("shop-2").matches(&pinned).count(), 2, "{}", manifest("shop-2"));
}

#[test]
fn a_program_that_lies_in_a_checkout_takes_the_library_from_there() {
    let scratch = Scratch::new().unwrap();
    assert_eq!(checkout_around(&checkout().join("target/debug/bulkhead")), Some(checkout()));
    assert_eq!(checkout_around(&checkout()), Some(checkout()));
    assert_eq!(checkout_around(scratch.path()), None);
    fs::create_dir_all(scratch.path().join(LIBRARY)).unwrap();
    fs::write(scratch.path().join(LIBRARY).join("Cargo.toml"), "").unwrap();
    assert_eq!(checkout_around(scratch.path()), None, "without the test kit it is none");
}

#[test]
fn an_empty_directory_is_taken_and_another_is_left_as_it_is() {
    let scratch = Scratch::new().unwrap();
    let root = scratch.path().join("shop");
    fs::create_dir(&root).unwrap();
    run(&root, &from_git()).unwrap();
    let before = below(&root);
    let refusal = run(&root, &from_git()).unwrap_err().to_string();
    assert_eq!(refusal, format!("{} is not empty", root.display()));
    assert_eq!(below(&root), before);
    let file = scratch.path().join("file");
    fs::write(&file, "kept").unwrap();
    assert!(run(&file, &from_git()).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn what_can_be_no_program_is_refused_before_anything_is_written() {
    let scratch = Scratch::new().unwrap();
    let long = "a".repeat(65);
    for name in
        ["Shop", "1shop", "my shop", "läden", "-shop", "shop.rs", "fn", "test", "bulkhead", "deps", &long]
    {
        let refusal = run(&scratch.path().join(name), &from_git()).unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("{name} cannot be the program's name: ")), "{refusal}");
    }
    let shop = scratch.path().join("shop");
    let elsewhere = Source { path: Some(scratch.path().to_owned()), git: None };
    let refusal = run(&shop, &elsewhere).unwrap_err().to_string();
    assert!(
        refusal.ends_with("is no checkout of Bulkhead: it has no crates/bulkhead/Cargo.toml"),
        "{refusal}"
    );
    let broken = Source { path: None, git: Some("https://git.example/\n".to_owned()) };
    assert!(run(&shop, &broken).unwrap_err().to_string().ends_with("has a control character"));
    assert!(run(Path::new("/"), &from_git()).is_err());
    assert_eq!(
        fs::read_dir(scratch.path())
            .unwrap()
            .filter(|entry| { !entry.as_ref().unwrap().file_type().unwrap().is_file() })
            .count(),
        0
    );
}

#[test]
fn a_path_is_written_as_toml_reads_it() {
    assert_eq!(quoted("a \"b\" \\c").unwrap(), r#""a \"b\" \\c""#);
}

#[test]
fn the_template_names_the_versions_of_this_repository() {
    let text = |path: &str| fs::read_to_string(checkout().join(path)).unwrap();
    let line = |text: &str, start: &str| {
        let found = text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("no line begins with {start}"))
    };
    for start in ["FROM rust:", "FROM gcr.io/"] {
        assert_eq!(
            line(&text("crates/bulkhead/template/Dockerfile"), start),
            line(&text("Dockerfile"), start)
        );
    }
    let actions = |path: &str| {
        let uses = text(path)
            .lines()
            .filter(|line| line.contains("uses: "))
            .map(|line| line.trim().to_owned())
            .collect::<Vec<_>>();
        assert!(uses.len() >= 2, "{path} uses {uses:?}");
        uses
    };
    let ours = actions(".github/workflows/test.yml");
    for action in actions("crates/bulkhead/template/.github/workflows/ci.yml") {
        assert!(ours.contains(&action), "our own workflow of tests has no {action}");
    }
    let (ours, theirs) = (text("Cargo.toml"), text("crates/bulkhead/template/Cargo.toml.in"));
    for library in ["diesel = ", "serde = "] {
        let version = |text: &str| line(text, library).split('"').nth(1).unwrap().to_owned();
        assert_eq!(version(&ours), version(&theirs), "{library}");
    }
    // What is measured and tested is built with this profile.
    let profiles = |text: &str| {
        let from = text.find("[profile.dev]").unwrap();
        let lines = text[from..].lines().take_while(|line| *line != "[profile.profiling]");
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let ours: Vec<String> = profiles(&ours).into_iter().filter(|line| line != "panic = \"unwind\"").collect();
    assert_eq!(profiles(&theirs), ours);
}
