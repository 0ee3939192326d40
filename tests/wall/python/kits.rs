//! Kits, libraries that are imported before the code arrives: they are present, fast, and leave no trace.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::interval;

use crate::{execute, python};
use harness::{TestServer, Warden};

/// Time limit for a zygote to learn which pages code writes to, beside other tests.
const LEARNS_WITHIN: Duration = Duration::from_secs(60);

/// Time for a standby to start and to prepare its pages.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const BARE: &str = "import sys, numpy\n";
const SCIENCE: &str = "import sys, pandas\n";

#[tokio::test]
async fn code_gets_the_kit_with_its_imports() {
    let server = TestServer::start("").await;
    let question = "print('numpy' in sys.modules, 'sympy' in sys.modules)";
    let science = execute(&server, &format!("{SCIENCE}{question}")).await;
    assert_eq!((&science["stdout"], &science["stderr"]), (&json!("True True\n"), &json!("")));
    // If no other standby is left, code gets one that has imported more.
    let mut answers = Vec::new();
    while answers.last() != Some(&json!("True False\n")) {
        assert!(answers.len() < 50, "{answers:?}");
        answers.push(execute(&server, &format!("{BARE}{question}")).await["stdout"].clone());
    }
    // Only a hint: imports that the detection misses are done by the code.
    let hidden = "exec('import sympy'); print(sympy.sqrt(16))";
    assert_eq!(execute(&server, hidden).await["stdout"], "4\n");
}

#[tokio::test]
async fn the_zygotes_warm_up_leaves_no_trace_in_cells() {
    let server = TestServer::start("").await;
    let look = "import os, tempfile\n\
        print(os.listdir(), os.listdir(tempfile.gettempdir()), os.getcwd() == sys.path[0])\n";
    let figures = "import matplotlib.pyplot as plt\n\
        print(plt.get_fignums(), plt.figure().number, plt.close())\n";
    for (code, wanted) in [
        (format!("{BARE}{look}"), "[] [] True\n"),
        (format!("{SCIENCE}{look}{figures}"), "[] [] True\n[] 1 None\n"),
    ] {
        // More often than there are standbys, so that some come from a warmed-up zygote.
        for _ in 0..8 {
            let answer = execute(&server, &code).await;
            assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!(wanted), &json!("")));
            assert_eq!(answer["images"], json!([]));
        }
    }
}

/// Some warnings are given only once; the zygote would consume them.
#[tokio::test]
async fn the_zygotes_warm_up_causes_no_warnings() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import warnings, belljar_usual
        warnings.simplefilter('error')
        for module, code in belljar_usual.USUAL:
            if module in sys.modules:
                try: exec(code, {})
                except ValueError as error: print(error)
        ",
    );
    let answer = execute(&server, &format!("{SCIENCE}{code}")).await;
    assert_eq!(answer["outcome"], "ok", "{answer}");
    assert!(answer["stdout"].as_str().is_some_and(|text| text.contains("usual\n")), "{answer}");
}

#[tokio::test]
async fn standbys_have_copies_of_the_pages_that_code_writes_to() {
    let faults = "import resource, pandas\nprint(resource.getrusage(0).ru_minflt)";
    let settings = ["--kits", "science", "--standbys", "1"];
    let warm = Warden::start(&settings);
    let not_prewarmed = Warden::start(&[&settings[..], &["--no-prewarm"]].concat());
    let warm = TestServer::builder().sandbox(&warm.socket()).start().await;
    let not_prewarmed = TestServer::builder().sandbox(&not_prewarmed.socket()).start().await;
    let of = async |server: &TestServer| {
        let answer = execute(server, faults).await;
        let number = answer["stdout"].as_str().and_then(|text| text.trim().parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("{answer}"))
    };
    let deadline = Instant::now() + LEARNS_WITHIN;
    // There is no event when a standby is prepared. One that is taken too soon is only partly prepared.
    let mut looks = interval(LOOK_EVERY);
    while of(&warm).await < 3 * of(&not_prewarmed).await {
        assert!(Instant::now() < deadline, "no standby has pages of its own");
        looks.tick().await;
    }
}

/// Code does not wait for program text to be mapped on first access either: libraries are in large pages.
#[tokio::test]
async fn standbys_have_the_pages_that_code_reads() {
    let warden = Warden::start(&["--kits", "science", "--standbys", "1"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import pandas, resource
        faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        before = faults()
        text = str(pandas.DataFrame({'a': range(100)}).describe())
        print(faults() - before)
        ",
    );
    let deadline = Instant::now() + LEARNS_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    loop {
        let answer = execute(&server, &code).await;
        let printed = answer["stdout"].as_str().and_then(|text| text.trim().parse::<u64>().ok());
        // Some hundred if only written pages are copied, thousands without any preparation.
        match printed {
            Some(faults) if faults < 50 => break,
            Some(faults) => assert!(Instant::now() < deadline, "{faults} faults are left"),
            None => panic!("{answer}"),
        }
        looks.tick().await;
    }
}

/// Their pages stay shared; objects that the code creates are counted and freed as usual.
#[tokio::test]
async fn references_to_objects_of_libraries_are_not_counted() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import pandas, sys, weakref
        if (3, 12) <= sys.version_info[:2] <= (3, 13):
            described = pandas.DataFrame.describe
            print(*{sys.getrefcount(o) for o in (sys, pandas, described, described.__code__.co_names)})
        else:
            print('not known')
        class Own: pass
        own = Own()
        gone, count = weakref.ref(own), sys.getrefcount(own)
        del own
        print(count, gone() is None)
        ",
    );
    let deadline = Instant::now() + LEARNS_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    loop {
        let answer = execute(&server, &code).await;
        let printed = answer["stdout"].as_str().unwrap_or_default();
        let (counts, own) = printed.split_once('\n').unwrap_or_default();
        assert_eq!(own, "2 True\n", "{answer}");
        if ["4294967295", "not known"].contains(&counts) {
            break;
        }
        assert!(Instant::now() < deadline, "they are counted: {answer}");
        looks.tick().await;
    }
}

/// Modules that only the zygote has imported are hidden: code with a missing import fails, as elsewhere.
#[tokio::test]
async fn modules_that_the_code_has_not_imported_are_hidden() {
    let server = TestServer::start("").await;
    let alone = "import PIL, matplotlib, sklearn, sys\n\
        print(hasattr(matplotlib, 'pyplot'), hasattr(matplotlib, 'style'), hasattr(PIL, 'ImageDraw'),\n\
        \x20   hasattr(sklearn, 'linear_model'), 'seaborn' in sys.modules)";
    assert_eq!(execute(&server, alone).await["stdout"], "False False False False False\n");
    for (code, missing) in [
        ("import matplotlib\nmatplotlib.pyplot.close()", "'matplotlib' has no attribute 'pyplot'"),
        ("import PIL; PIL.ImageDraw.Draw", "'PIL' has no attribute 'ImageDraw'"),
    ] {
        let answer = execute(&server, code).await;
        assert!(answer["stderr"].to_string().contains(missing), "{code}: {answer}");
    }
    for code in [
        "import matplotlib.pyplot\nmatplotlib.pyplot.close(); matplotlib.style.use('ggplot')",
        "from matplotlib import pyplot, style\npyplot.close(); style.use('ggplot')",
        "import matplotlib, seaborn\nseaborn.utils, matplotlib.pyplot.close()",
        "import sklearn.linear_model\nsklearn.linear_model.LinearRegression(), sklearn.metrics",
        "import importlib, sys, pandas\nm = importlib.import_module('sklearn.svm')\n\
         assert m is sys.modules['sklearn.svm'] and m.__spec__.origin == m.__file__",
        "import PIL.ImageDraw, sys\nassert PIL.ImageDraw is sys.modules['PIL.ImageDraw']",
        "import importlib, matplotlib.style as style\nassert importlib.reload(style) is style",
        "from sklearn import tree, svm\ntree.DecisionTreeClassifier, svm.SVC",
        "def draw():\n import matplotlib.pyplot as plt\n plt.close()\ndraw()",
        "import seaborn as sns\nfrom sklearn import (\n datasets,\n)\nsns.utils, datasets",
        "import pickle\nfrom sklearn.linear_model import Ridge\npickle.loads(pickle.dumps(Ridge()))",
    ] {
        let answer = execute(&server, code).await;
        assert_eq!((&answer["outcome"], &answer["stderr"]), (&json!("ok"), &json!("")), "{code}");
    }
}
