//! The terminal sessions of a page: files that are written, and commands with their output.
//!
//! A fence ` ```console ` is run: a line that begins with `$ ` is a command, the lines below it are what it prints. A
//! fence behind `<!-- file: NAME -->` is a file of that name.

/// One thing to do, in the order of the page.
#[derive(Debug)]
pub(crate) enum Step {
    /// Write a file.
    File { name: String, text: String },
    /// Run a command, and compare what it prints.
    Command(Command),
}

/// A command with the output that the page shows.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) output: Vec<String>,
    /// The index of the first line of the output, in the page.
    pub(crate) at: usize,
}

/// All steps of a page.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut file = None;
    let mut lines = page.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            file = Some(name.to_owned());
        } else if let Some(fence) = line.strip_prefix("```") {
            let block: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| *line != "```").collect();
            if let Some(name) = file.take() {
                let text = block.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
                steps.push(Step::File { name, text });
            } else if fence == "console" {
                commands(&block, &mut steps);
            }
        }
    }
    steps
}

fn commands(block: &[(usize, &str)], steps: &mut Vec<Step>) {
    for (index, line) in block {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step::Command(Command { line: command.to_owned(), output: Vec::new(), at: index + 1 }));
        } else if let Some(Step::Command(command)) = steps.last_mut() {
            command.output.push((*line).to_owned());
        }
    }
}
