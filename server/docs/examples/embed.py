import json, urllib.request

with open("cat.jpg", "rb") as f:
    request = urllib.request.Request("http://localhost:7860/api/embed?normalize=true", data=f.read())
answer = json.load(urllib.request.urlopen(request))
vector = answer["data"][0]["embedding"]
print(answer["model"], answer["dim"], vector[:4])
