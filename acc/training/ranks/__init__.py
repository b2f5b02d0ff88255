"""Several processes that train one model together: how they meet, what each computes, what they tell each other."""
