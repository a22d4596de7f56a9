"""The paper's claims in our words, each with the statistic that decides it and its rule. Words only.

The code of each rule is in claims.JUDGES; what counts as an effect is said once, in effects.py.
"""

from typing import NamedTuple


class Claim(NamedTuple):
    """A claim of the paper, and how it is judged."""

    id: str
    section: str  # of the paper
    link: str  # id of the report's figure, table or section that shows it, such as "fig-9"
    models: tuple[str, ...]  # whose runs decide it; empty where the data does
    text: str
    statistic: str
    rule: str


def _read(table: str) -> list[Claim]:
    claims = []
    for line in table.strip().splitlines():
        if not line.startswith(" "):  # id | section | link | models
            claims.append([cell.strip() for cell in line.split("|")])
        elif line.startswith("    "):  # goes on
            claims[-1][-1] += " " + line.strip()
        else:
            claims[-1].append(line.strip().removeprefix("Statistic: ").removeprefix("Rule: "))
    return [
        Claim(name, section, link, tuple(models.split()), *words)
        for name, section, link, models, *words in claims
    ]


CLAIMS = _read("""
C01 | 2.1 | section-2-1 |
  The splits hold 4,077, 1,165 and 582 images
  Statistic: images in each split
  Rule: All three sizes are the paper's.
C02 | 2.1 | section-2-1 |
  There are no missing and no duplicated images
  Statistic: missing, unreadable and surplus images of the audit
  Rule: All are 0.
C03 | 2.1 | fig-3 |
  The training split has 0.37 normal images for each with pneumonia
  Statistic: normal / pneumonia images in the training split
  Rule: Rounds to 0.37.
C04 | 2.2 | fig-4 |
  A prepared sample is 1×640×640 with values in 0–1
  Statistic: the images' sizes in the source
  Rule: All are 640×640; one channel and the range 0–1 follow from the preparation.
C05 | 2.2 | fig-5 |
  Batches of 32: 128 for training, 37 for validation, 19 for test
  Statistic: batches of 32 in each split
  Rule: All three counts are the paper's.
C06 | 3.1 | fig-9 | 0 1 2
  Linear: each added hidden layer slows the fall of the loss and lowers training accuracy
  Statistic: mean training loss over the epochs; level of training accuracy
  Rule: From 1 to 2 and from 2 to 3 layers the loss is higher and the accuracy lower.
C07 | 3.1 | fig-10 | 3 0 4 1 2
  Linear: the number of units matters less than the number of layers
  Statistic: range of the level of training accuracy over 3, 0, 4 and over 0, 1, 2
  Rule: The range over layers is the larger.
C08 | 3.1 | fig-10 | 3 0 4
  Linear: 10 units lower the loss fastest
  Statistic: mean training loss over the epochs
  Rule: Higher with 5 and with 20 units than with 10.
C09 | 3.1 | learning-rates | 6 7
  MLP: 2 or 3 hidden layers do not converge, at any learning rate from 1e-1 to 1e-5
  Statistic: runs of 6 and 7 that converged, in Table 1 and at five learning rates
  Rule: Holds where none did; does not hold where more than half of a setting's seeds did; else
    within noise.
C10 | 3.1 | fig-11 | 8 5 9
  MLP: 10 units are fastest and most accurate
  Statistic: mean training loss over the epochs; level of validation accuracy
  Rule: With 10 units the loss is lower and the accuracy higher than with 5 and with 20.
C11 | 3.1 | fig-12 | 10 11 12 0 1 2 3 4 5 8 9
  CNN: the validation loss oscillates more than in the other classes
  Statistic: oscillation of validation loss, mean over 10, 11, 12 and over 0–5, 8, 9
  Rule: Larger for the CNNs.
C12 | 3.1 | fig-12 | 10 11 12
  CNN: 5 and 10 filters are alike, and better than 20
  Statistic: level of validation accuracy
  Rule: 10 and 11 differ by less than 1 point, and 12 is below both.
C13 | 3.1 | fig-13 | 11 13
  CNN: kernel 5 gives rougher loss curves and lower accuracy than kernel 3
  Statistic: oscillation of training and validation loss; level of validation accuracy
  Rule: With kernel 5 the first is larger and the second lower.
C14 | 3.2 | fig-14 | 0 14
  Linear: weighting makes the accuracy level off lower
  Statistic: level of validation accuracy
  Rule: Lower for the weighted model.
C15 | 3.2 | fig-16 | 0 14 11 16
  Linear and CNN: weighting makes validation accuracy oscillate more
  Statistic: oscillation of validation accuracy
  Rule: Larger for the weighted model in both classes.
C16 | 3.2 | adam | 18 19
  Adam does not converge for the MLP and the CNN
  Statistic: runs of 18 and 19 that converged
  Rule: As C09.
C17 | 3.2 | fig-17 | 14 17
  Linear: Adam is very unstable
  Statistic: oscillation of validation loss of 17 (Adam) against 14 (SGD), both weighted
  Rule: More than twice as large, or most runs diverged.
C18 | 3.3 | fig-19 | 21 24
  MLP: weighting changes the accuracy curves little
  Statistic: levels of training and validation accuracy
  Rule: Both differ by less than 1 point.
C19 | 3.3 | fig-19 | 20 23
  Linear: weighting lowers validation accuracy and adds oscillation
  Statistic: level and oscillation of validation accuracy
  Rule: With weighting the level is lower and the oscillation larger.
C20 | 3.3 | fig-19 | 22 25
  CNN: the training loss keeps falling while the validation loss levels off
  Statistic: trends of training and validation loss
  Rule: For both models the training loss falls over the second half of the epochs, and the
    validation loss by less than a quarter of that.
C21 | 3.3 | fig-18 | 20
  Model 20 on the test split: TP 400, TN 142, FP 29, FN 11
  Statistic: 95 % interval of recall and specificity (bootstrap, all seeds pooled)
  Rule: Both intervals hold the paper's value.
C22 | 3.3 | fig-20 | 20 21 22 23 24 25
  Models 21 and 20 are the best of six: F1 above 95 %, accuracy 93.4 %
  Statistic: accuracy and F1 on the test split
  Rule: 20 and 21 each beat the other four in both; their F1 is at least 95 %; their 95 % interval
    of accuracy holds the 93.1 % that the paper's counts give (its 93.4 is a batch mean).
C23 | 3.3 | fig-21 | 20 23 21 24 22 25
  Weighting lowers accuracy and F1 in all three classes
  Statistic: accuracy and F1 on the test split
  Rule: Both are lower with weighting in each class (23, 24, 25).
C24 | 3.4 | fig-22 | 22 22b 25 25b
  CNN: the curves oscillate less with batches of 64 than of 32
  Statistic: oscillation of validation loss and accuracy over the first 50 epochs
  Rule: Larger at batch size 32 for both pairs.
C25 | 3.4 | fig-22 | 22b 25b
  CNN: with batches of 64 it still overfits
  Statistic: trends of training and validation loss
  Rule: As C20.
C26 | 3.4 | fig-23 | 20b 21b 22b 23b 24b 25b
  Most models have an F1 of about 95 %; the MLP's accuracy is highest, about 93 %
  Statistic: accuracy and F1 on the test split
  Rule: F1 is within 94–96 % for four of six or more; the better MLP beats the best other model in
    accuracy, and has 92–94 %.
C27 | 3.4 | fig-24 | 20b 23b 21b 24b 22b 25b
  With batches of 64, weighting improves neither accuracy nor F1
  Statistic: accuracy and F1 on the test split
  Rule: In no class is either higher with weighting beyond noise.
C28 | 3.5 | fig-26 | 22b 26b
  CNN: L2 gives training and validation curves the same shape, with less oscillation
  Statistic: shape difference of training and validation loss; oscillation of validation loss and
    accuracy
  Rule: 26b converged in most runs, and both are larger without L2.
C29 | 3.5 | fig-27 | 22b 26b 20b 27b
  L2 improves the CNN's and the linear model's scores
  Statistic: accuracy and F1 on the test split
  Rule: Both are higher with L2 in both classes.
C30 | 3.6 | fig-28 | 26b 27b 28b
  The CNN takes much longer to train than the linear model and the MLP
  Statistic: training time, all three trained pixel by pixel on one device
  Rule: At least twice that of either other.
C31 | 4 | fig-20 | 20
  One hidden layer of 10 linear units reaches an accuracy of about 93 % and an F1 of about 95 %
  Statistic: accuracy and F1 on the test split
  Rule: Mean accuracy of at least 92 % and mean F1 of at least 94 %.
C32 | 4 | fig-23 | 20 21 22 20b 21b 22b 26b
  A more complex architecture brings no significant improvement
  Statistic: accuracy and F1 on the test split
  Rule: Neither MLP nor CNN beats the linear model of its batch size beyond noise and by 1 point.
C33 | 4 | fig-24 | 20 23 20b 23b 21 24 21b 24b 22 25 22b 25b
  The MLP is the most consistent across batch sizes and weights
  Statistic: range of accuracy and of F1 over batch sizes and weights
  Rule: Both are larger for Linear and CNN than for the MLP, in the seeds in which no MLP is dead.
C34 | 4 | fig-28 | 20b 26b 27b
  CNN with L2: F1 up by less than 1 point, at more than 20 % more compute
  Statistic: F1 of 26b − 20b; training time of 26b / 27b
  Rule: F1 is higher, by less than 1 point; the time ratio is above 1.2.
""")
