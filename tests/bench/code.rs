//! The code that is run, identical for Belljar and its peers.

macro_rules! imports {
    () => {
        "import numpy, pandas, matplotlib.pyplot, scipy.stats, sklearn.linear_model, sympy, cv2, seaborn"
    };
}

/// Usual imports of code that works with data.
pub const IMPORTS: &str = imports!();

/// Code, and the result that is checked.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    pub text: &'static str,
    pub does: Does,
}

#[derive(Debug, Clone, Copy)]
pub enum Does {
    /// Prints exactly this text.
    Print(&'static str),
    /// Prints a text that contains this one.
    Contain(&'static str),
    /// Writes a picture.
    Draw,
}

pub const PRINT: Code = Code { text: "print(1)", does: Does::Print("1\n") };

/// The same with imports that need an interpreter with all libraries.
pub const SCIENCE: Code =
    Code { text: concat!(imports!(), "\nprint(1)"), does: Does::Print("1\n") };

pub const NUMPY: Code =
    Code { text: "import numpy\nprint(numpy.arange(5).sum())", does: Does::Print("10\n") };

pub const DESCRIBE: Code = Code {
    text: "import pandas as pd\nprint(pd.DataFrame({'a': range(100), 'b': range(100)}).describe())",
    does: Does::Contain("mean"),
};

pub const PLOT: Code = Code {
    text: "import matplotlib.pyplot as plt\n\
           fig, ax = plt.subplots()\n\
           ax.plot([1, 3, 2, 4])\n\
           ax.set_title('a plot')\n\
           fig.savefig('plot.png')\n\
           plt.close(fig)",
    does: Does::Draw,
};

pub const MATMUL: Code = Code {
    text: "import tensorflow as tf\n\
           a = tf.ones((256, 256))\n\
           print(tf.matmul(a, a)[0, 0].numpy())",
    does: Does::Print("256.0\n"),
};
