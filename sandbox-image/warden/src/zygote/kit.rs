//! Kits: the modules that a zygote imports in advance. Forking a zygote with fewer modules, and ending its
//! cells, is several times as fast.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Ordered from the fastest to the most complete; each contains those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kit {
    /// No modules. Used to test the isolation.
    Empty,
    /// Modules that code for small computations imports.
    Bare,
    /// Modules that data science code imports.
    Science,
    TensorFlow,
}

const BARE: &[&str] = &[
    "numpy",
    "collections",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "random",
    "re",
    "statistics",
    "string",
    "time",
    "typing",
];

const SCIENCE: &[&str] = &[
    "numpy",
    "pandas",
    "matplotlib.pyplot",
    "scipy.stats",
    "scipy.optimize",
    "scipy.ndimage",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sympy",
    "cv2",
    "seaborn",
    "PIL.Image",
    "PIL.ImageDraw",
    "PIL.ImageShow",
];

/// Includes `keras`. Code imports the remaining libraries itself.
const TENSORFLOW: &[&str] = &["tensorflow"];

impl Kit {
    /// Kits that cells use, in the order in which their zygotes should start.
    pub const SERVING: [Kit; 3] = [Kit::Science, Kit::Bare, Kit::TensorFlow];

    pub fn modules(self) -> Vec<&'static str> {
        match self {
            Kit::Empty => Vec::new(),
            Kit::Bare => BARE.to_vec(),
            Kit::Science => [BARE, SCIENCE].concat(),
            Kit::TensorFlow => [BARE, SCIENCE, TENSORFLOW].concat(),
        }
    }

    /// Whether its libraries are installed.
    pub fn is_installed(self, site_packages: &Path) -> bool {
        self != Kit::TensorFlow || site_packages.join("tensorflow").is_dir()
    }

    /// The fastest kit for code with these imports. Unknown packages are assumed to import the common
    /// science libraries.
    pub fn for_imports(imports: &[String], standard: &HashSet<String>) -> Kit {
        let one = |package: &String| match package.as_str() {
            "tensorflow" | "keras" => Kit::TensorFlow,
            "numpy" => Kit::Bare,
            package if standard.contains(package) => Kit::Bare,
            _ => Kit::Science,
        };
        imports.iter().map(one).max().unwrap_or(Kit::Bare)
    }

    /// Whether its libraries are moved into large pages. TensorFlow's would take another gigabyte.
    pub fn moves_libraries(self) -> bool {
        self != Kit::TensorFlow
    }

    /// Memory of a standby, measured by `make bench` and rounded up.
    pub fn standby_bytes(self) -> u64 {
        let mib = match self {
            Kit::Empty => 2,
            Kit::Bare => 8,
            Kit::Science => 32,
            Kit::TensorFlow => 64,
        };
        mib << 20
    }
}

impl fmt::Display for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kit::Empty => "empty",
            Kit::Bare => "bare",
            Kit::Science => "science",
            Kit::TensorFlow => "tensorflow",
        })
    }
}

impl FromStr for Kit {
    type Err = String;

    fn from_str(text: &str) -> Result<Kit, String> {
        let known = Kit::SERVING.into_iter().find(|kit| kit.to_string() == text);
        known.ok_or_else(|| {
            format!("expected one of {}", Kit::SERVING.map(|kit| kit.to_string()).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_gets_the_fastest_kit_that_has_what_it_imports() {
        let standard = HashSet::from(["json".to_owned()]);
        for (imports, wanted) in [
            (&[][..], Kit::Bare),
            (&["json", "numpy"], Kit::Bare),
            (&["numpy", "pandas"], Kit::Science),
            (&["geopandas"], Kit::Science),
            (&["keras", "json"], Kit::TensorFlow),
        ] {
            let imports: Vec<_> = imports.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(Kit::for_imports(&imports, &standard), wanted, "{imports:?}");
        }
    }
}
