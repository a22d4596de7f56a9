"""What the report and the cards of exported models cite. Facts only."""

from typing import NamedTuple


class Reference(NamedTuple):
    key: str
    use: str  # what we cite it for
    url: str  # empty where it has none
    text: str


def _references(table: str) -> list[Reference]:
    found = []
    for entry in table.strip().split("\n\n"):
        head, *text = entry.split("\n")
        found.append(Reference(*(part.strip() for part in head.split("|")), " ".join(text)))
    return found


REFERENCES = _references("""
paper | the study that this report repeats |
G. Copetti, “Binary Classification of Chest X-rays for Prediction of Pneumonia”.

dataset | the paper's data set | https://huggingface.co/datasets/keremberke/chest-xray-classification
K. Berke, “chest-xray-classification”, Hugging Face, 2023.

kermany | where the radiographs were first published | https://doi.org/10.1016/j.cell.2018.02.010
D. S. Kermany, M. Goldbaum, W. Cai, et al., “Identifying Medical Diagnoses and Treatable Diseases by
Image-Based Deep Learning”, Cell 172(5), 1122–1131, 2018.

mendeley | the radiographs and their licence | https://doi.org/10.17632/rscbjbr9sj
D. Kermany, K. Zhang, M. Goldbaum, “Labeled Optical Coherence Tomography (OCT) and Chest X-Ray
Images for Classification”, Mendeley Data, 2018. CC BY 4.0.

bourke | the tutorial whose training loop the paper adapts | https://www.learnpytorch.io/
D. Bourke, “Zero to Mastery Learn PyTorch for Deep Learning”.

cnn-explainer | the TinyVGG structure | https://doi.org/10.1109/TVCG.2020.3030418
Z. J. Wang, R. Turko, O. Shaikh, et al., “CNN Explainer: Learning Convolutional Neural Networks with
Interactive Visualization”, IEEE Transactions on Visualization and Computer Graphics 27(2),
1396–1406, 2021.

pytorch | models, losses and optimizers | https://pytorch.org/
A. Paszke, S. Gross, F. Massa, et al., “PyTorch: An Imperative Style, High-Performance Deep Learning
Library”, Advances in Neural Information Processing Systems 32, 2019.

torchvision | image transformations | https://github.com/pytorch/vision
TorchVision maintainers and contributors, “TorchVision: PyTorch's Computer Vision library”, 2016.

datasets | reading the data | https://doi.org/10.18653/v1/2021.emnlp-demo.21
Q. Lhoest, A. Villanova del Moral, Y. Jernite, et al., “Datasets: A Community Library for Natural
Language Processing”, EMNLP 2021, System Demonstrations, 175–184.

torchmetrics | the scores | https://doi.org/10.21105/joss.04101
N. S. Detlefsen, J. Borovec, J. Schock, et al., “TorchMetrics – Measuring Reproducibility in
PyTorch”, Journal of Open Source Software 7(70), 4101, 2022.

scipy | the tests | https://doi.org/10.1038/s41592-019-0686-2
P. Virtanen, R. Gommers, T. E. Oliphant, et al., “SciPy 1.0: Fundamental Algorithms for Scientific
Computing in Python”, Nature Methods 17, 261–272, 2020.

adam | the optimizer of models 17 to 19 | https://arxiv.org/abs/1412.6980
D. P. Kingma, J. Ba, “Adam: A Method for Stochastic Optimization”, ICLR 2015.

mcnemar | comparing two models on the same images | https://doi.org/10.1007/BF02295996
Q. McNemar, “Note on the sampling error of the difference between correlated proportions or
percentages”, Psychometrika 12(2), 153–157, 1947.

mann-whitney | comparing re-splits by image and by patient | https://doi.org/10.1214/aoms/1177730491
H. B. Mann, D. R. Whitney, “On a Test of Whether one of Two Random Variables is Stochastically
Larger than the Other”, Annals of Mathematical Statistics 18(1), 50–60, 1947.

bootstrap | intervals of scores |
B. Efron, R. J. Tibshirani, “An Introduction to the Bootstrap”, Chapman & Hall, 1993.

calibration | the calibration error | https://proceedings.mlr.press/v70/guo17a.html
C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, “On Calibration of Modern Neural Networks”, ICML 2017,
PMLR 70, 1321–1330.
""")
