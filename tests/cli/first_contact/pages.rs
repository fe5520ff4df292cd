//! Version, help, completions, manual.

use std::path::Path;
use std::process::Command;

use crate::support::command::{Scratch, run};

const COMMANDS: [&str; 12] = [
    "load",
    "ls",
    "stat",
    "cat",
    "du",
    "find",
    "extract",
    "verify",
    "status",
    "report",
    "completions",
    "man",
];

/// Returns the long options in a help text.
fn options(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    lines
        .filter_map(|line| {
            let (_, name) = line.split_once("--")?;
            name.split([' ', '=', '[']).next()
        })
        .collect()
}

#[test]
fn the_version_describes_the_build() {
    let shown = run(["--version"]).expect(0).stdout;
    assert_eq!(shown, run(["-V"]).expect(0).stdout);
    let version = shown.trim_end().strip_prefix("clfsload ").unwrap();
    let within = version
        .strip_prefix(concat!(env!("CARGO_PKG_VERSION"), " ("))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap();
    let parts: Vec<&str> = within.split(", ").collect();
    let [commit, target, format] = parts[..] else {
        panic!("{version}");
    };
    assert!(target.contains(std::env::consts::ARCH), "{version}");
    assert_eq!(format, "CLFS format 2");
    let folder = env!("CARGO_MANIFEST_DIR");
    let arguments = ["-C", folder, "show", "-s", "--abbrev=8", "--format=%h %cs"];
    match Command::new("git").args(arguments).output() {
        Ok(git) if git.status.success() && Path::new(folder).join(".git").exists() => {
            assert_eq!(commit, String::from_utf8(git.stdout).unwrap().trim());
        }
        _ => assert!(!commit.is_empty()),
    }
    // The history of a transfer also records the version.
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.source()).unwrap();
    scratch.load("t", &[]).expect(0);
    let history = scratch.path("t").join("history.jsonl");
    let history = std::fs::read_to_string(history).unwrap();
    assert!(history.contains(version), "{history}");
}

#[test]
fn usage_and_short_help_fit_a_screen() {
    let first = run::<&str>([]).expect(2).stderr;
    let (purpose, _) = first.split_once('\n').unwrap();
    assert!(purpose.starts_with("Loads a folder into"), "{first}");
    assert_eq!(run(["-h"]).expect(0).stdout, first);
    for command in COMMANDS {
        let line = format!("\n  {command} ");
        assert!(first.contains(&line), "{command}: {first}");
    }
    let short = run(["load", "-h"]).expect(0).stdout;
    for (text, lines) in [(&first, 24), (&short, 53)] {
        assert!(text.lines().count() <= lines, "{text}");
        assert!(text.contains("clfsload load --new /var/t1"), "{text}");
    }
    let widest = first.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(90), "{widest:?}");
    let long = run(["load", "--help"]).expect(0).stdout;
    assert_eq!(run(["help", "load"]).expect(0).stdout, long);
    assert_eq!(run(["--new", "--help"]).expect(0).stdout, long);
    for heading in [
        "Transfer:",
        "Failures:",
        "Limits:",
        "Output:",
        "Exit status:",
    ] {
        assert!(long.contains(&format!("\n{heading}")), "{heading}: {long}");
    }
    let (few, all) = (options(&short), options(&long));
    assert!(few.iter().all(|option| all.contains(option)), "{few:?}");
    assert!(all.len() >= few.len() + 8, "{all:?}");
}

#[test]
fn every_command_has_a_page_with_its_options() {
    let scratch = Scratch::new();
    let folder = scratch.path("man/man1");
    run(["man", folder.to_str().unwrap()]).expect(0);
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        COMMANDS.len() + 1
    );
    let mut pages = Vec::new();
    for command in COMMANDS {
        pages.push((format!("clfsload-{command}.1"), vec![command, "--help"]));
    }
    for (name, arguments) in pages {
        let path = folder.join(&name);
        let page = std::fs::read_to_string(&path).unwrap();
        let name = name.trim_end_matches(".1");
        assert!(page.contains(&format!(".TH {name} 1 ")), "{page}");
        let help = run(arguments).expect(0).stdout;
        let options = options(&help);
        let shown = page.contains("adjusted during the load");
        // Of an option that -h leaves out, too.
        assert_eq!(shown, name == "clfsload-load", "{page}");
        assert!(!options.is_empty(), "{help}");
        for option in options {
            let escaped = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.contains(&escaped), "{name}: {option}: {page}");
        }
        assert!(page.is_ascii(), "{name}: {page}");
        // mandoc or groff, if installed, reports no errors.
        let formatter = Command::new("groff")
            .args(["-man", "-ww", "-z", "-Tascii"])
            .arg(&path)
            .output();
        if let Ok(formatted) = formatter {
            assert!(formatted.status.success(), "{formatted:?}");
            assert!(formatted.stderr.is_empty(), "{name}: {formatted:?}");
        }
    }
    let printed = run(["man"]).expect(0).stdout;
    let written = std::fs::read_to_string(folder.join("clfsload.1")).unwrap();
    assert_eq!(printed, written);
    for command in COMMANDS {
        let named = format!("clfsload\\-{command}(1)");
        assert!(printed.contains(&named), "{command}: {printed}");
    }
}

/// Returns bash's completions for the last of some words.
fn completed(script: &Path, arguments: &[&str]) -> Vec<String> {
    let [.., before, last] = arguments else {
        panic!("too few arguments");
    };
    let program = format!(
        "set -e; source '{}'; complete -p clfsload >/dev/null; COMP_WORDS=({}); COMP_CWORD={}; \
         _clfsload clfsload '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        arguments
            .iter()
            .map(|word| format!("'{word}'"))
            .collect::<Vec<_>>()
            .join(" "),
        arguments.len() - 1,
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &program])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_load_and_the_commands() {
    let scratch = Scratch::new();
    let script = scratch.path("clfsload.bash");
    std::fs::write(&script, run(["completions", "bash"]).expect(0).stdout).unwrap();
    let offered = |arguments: &[&str]| completed(&script, arguments);
    assert_eq!(offered(&["clfsload", "ver"]), ["verify"]);
    assert_eq!(offered(&["clfsload", "load", "--sk"]), ["--skip-failed"]);
    let late = [
        "clfsload", "load", "/state", "/source", "account", "name", "--sk",
    ];
    assert_eq!(offered(&late), ["--skip-failed"]);
    assert_eq!(
        offered(&["clfsload", "load", "--compression", "L"]),
        ["LZ4"]
    );
    assert_eq!(offered(&["clfsload", "verify", "--qu"]), ["--quick"]);
    assert_eq!(offered(&["clfsload", "completions", "z"]), ["zsh"]);
    let all = offered(&["clfsload", ""]);
    for command in COMMANDS {
        assert!(all.iter().any(|word| word == command), "{command}: {all:?}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).expect(0).stdout;
        assert!(script.contains("preserve-hardlinks"), "{shell}");
        assert!(script.contains("verify"), "{shell}");
    }
    run(["completions", "csh"]).expect(2);
}
