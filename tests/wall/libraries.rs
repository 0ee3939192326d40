//! The libraries of Gemini's own environment: all of them, and at work.

use crate::harness::{Program, direct};
use crate::ran;

/// Each of the page's 37, by the name that code imports it under.
const NAMES: &[&str] = &[
    "attrs",
    "chess",
    "contourpy",
    "fpdf",
    "geopandas",
    "imageio",
    "jinja2",
    "joblib",
    "jsonschema",
    "jsonschema_specifications",
    "lxml.etree",
    "matplotlib",
    "mpmath",
    "numpy",
    "cv2",
    "openpyxl",
    "packaging",
    "pandas",
    "PIL",
    "google.protobuf",
    "pylatex",
    "pyparsing",
    "PyPDF2",
    "dateutil",
    "docx",
    "pptx",
    "reportlab",
    "sklearn",
    "scipy",
    "seaborn",
    "six",
    "striprtf",
    "sympy",
    "tabulate",
    "tensorflow",
    "toolz",
    "xlrd",
];

/// With the thirty seconds that everybody has: TensorFlow alone takes seconds to import.
#[tokio::test]
async fn all_libraries_can_be_imported_and_keras_learns() {
    assert_eq!(NAMES.len(), 37);
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let imports: String = NAMES.iter().map(|name| format!("import {name}\n")).collect();
    let fit = "import keras, numpy as np\n\
        x = np.arange(8.0).reshape(8, 1)\n\
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])\n\
        model.compile(optimizer='sgd', loss='mse')\n\
        losses = model.fit(x, 2 * x, epochs=3, verbose=0).history['loss']\n\
        print(len(losses), losses[-1] < losses[0])";

    let told = ran(&server.create(direct(&format!("{imports}{fit}"))).await).remove(0).ok();

    assert_eq!(told, "3 True\n");
}
